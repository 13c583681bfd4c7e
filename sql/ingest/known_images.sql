-- One row per image indexed before, with the file it was read from.
select
    sop_instance_uid,
    path_bytes
from images
