-- One row per path to flag (registered as incoming) that does not have the flag yet.
update files
set flags = list_append(files.flags, $flag)
from incoming
where
    files.path_bytes = incoming.path_bytes
    and files.state = 'indexed'
    and not list_contains(files.flags, $flag)
