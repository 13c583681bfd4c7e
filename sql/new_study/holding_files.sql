-- The rows of places below which the database knows a file; beginning is the place as files have it.
select distinct places.position
from places
inner join files on starts_with(files.path, places.beginning)
order by places.position
