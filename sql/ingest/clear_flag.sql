-- One row per path that has the flag and is not among those to flag (registered as incoming).
update files
set flags = list_filter(files.flags, lambda flag: flag != $flag)
where
    list_contains(files.flags, $flag)
    and files.path_bytes not in (select incoming.path_bytes from incoming)
