-- One row per indexed image whose pixels were not looked at as its file is now; in the order of listing.
select
    images.sop_instance_uid,
    images.path_bytes,
    images.size_bytes,
    images.modified_ns
from images
inner join files on images.path_bytes = files.path_bytes
left join pixel_facts
    on
        images.sop_instance_uid = pixel_facts.sop_instance_uid
        and images.size_bytes = pixel_facts.size_bytes
        and images.modified_ns = pixel_facts.modified_ns
where
    files.state = 'indexed'
    and pixel_facts.sop_instance_uid is null
order by files.rowid
