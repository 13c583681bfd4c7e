-- One row per score whose file was only touched (registered as incoming) gets its new stamp.
update scores
set
    size_bytes = incoming.size_bytes,
    modified_ns = incoming.modified_ns
from incoming
where
    scores.sop_instance_uid = incoming.sop_instance_uid
    and scores.model_id = incoming.model_id
    and scores.preprocessing_id = incoming.preprocessing_id
