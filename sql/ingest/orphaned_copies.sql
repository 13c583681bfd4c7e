-- One row per path that holds a copy of an image whose kept file is gone or holds it no longer.
select
    copies.path_bytes,
    copies.size_bytes,
    copies.modified_ns
from files as copies
left join images on copies.sop_instance_uid = images.sop_instance_uid
left join files as kept on images.path_bytes = kept.path_bytes
where
    copies.state = 'duplicate'
    and (images.sop_instance_uid is null or kept.state = 'missing')
order by copies.path_bytes
