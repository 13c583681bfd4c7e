-- One row per subject of an image.
select distinct subject_id
from images
where subject_id is not null
