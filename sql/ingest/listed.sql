-- One row per path in a state.
select
    path,
    state,
    reason,
    detail
from files
where state = $state
order by path
