-- One row per path of an image whose pixels cannot be had (registered as incoming) is marked so.
update files
set
    state = incoming.state,
    reason = incoming.reason,
    detail = incoming.detail,
    flags = [],
    run_id = $run_id
from incoming
where
    files.sop_instance_uid = incoming.sop_instance_uid
    and files.state = 'indexed'
