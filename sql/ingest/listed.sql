-- One row per path in a state, of one reason if one is named.
select
    path,
    state,
    reason,
    detail,
    rule,
    sop_instance_uid,
    array_to_string(flags, ' ') as flags
from files
where
    state = $state
    and ($reason = '' or reason = $reason)
order by path
