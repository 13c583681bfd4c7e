-- One row per file with two states, without a reason, or indexed without an image; and per image without
-- a file.
select
    'two states' as fault,
    min(rowid) as row_id
from files
group by path_bytes
having count(*) > 1
union all
select
    'no reason' as fault,
    rowid as row_id
from files
where state <> 'indexed' and reason is null
union all
select
    'indexed without an image' as fault,
    files.rowid as row_id
from files
left join images on files.path_bytes = images.path_bytes
where files.state = 'indexed' and images.sop_instance_uid is null
union all
select
    'image without a file' as fault,
    images.rowid as row_id
from images
left join files on images.path_bytes = files.path_bytes
where images.path_bytes is not null and files.path_bytes is null
order by fault, row_id
