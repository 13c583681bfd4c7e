-- One row per state and reason.
select
    state,
    reason,
    count(*) as n
from files
group by state, reason
order by
    case state when 'indexed' then 0 when 'duplicate' then 1 when 'excluded' then 2 else 3 end asc,
    n desc,
    reason asc
