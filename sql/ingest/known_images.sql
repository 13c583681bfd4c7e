-- One row per image among those asked for (registered as incoming), with the file it was read from.
select
    images.sop_instance_uid,
    images.path_bytes
from images
inner join incoming on images.sop_instance_uid = incoming.sop_instance_uid
