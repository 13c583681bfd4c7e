-- One row: the number of paths ever seen.
select count(*) as n
from files
