-- One row per path seen before.
select
    path_bytes,
    size_bytes,
    modified_ns
from files
