-- One row per path that is gone (registered as incoming) is marked so.
update files
set
    state = 'missing',
    reason = $reason,
    detail = incoming.detail,
    run_id = $run_id
from incoming
where files.path_bytes = incoming.path_bytes
