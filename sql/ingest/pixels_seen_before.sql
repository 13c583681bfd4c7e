-- One row per image whose pixels stand under another subject as well.
with shared_pixels as (
    select pixel_facts.pixel_sha256
    from pixel_facts
    inner join images on pixel_facts.sop_instance_uid = images.sop_instance_uid
    where
        pixel_facts.pixel_sha256 is not null
        and images.subject_id is not null
    group by pixel_facts.pixel_sha256
    having count(distinct images.subject_id) > 1
)

select images.path_bytes
from images
inner join pixel_facts on images.sop_instance_uid = pixel_facts.sop_instance_uid
inner join shared_pixels on pixel_facts.pixel_sha256 = shared_pixels.pixel_sha256
