-- One row per step of exclusion of an analysis, in order.
select
    cohort,
    position,
    step,
    unit,
    endpoint,
    reason,
    n_excluded,
    n_remaining
from attrition
where run_id = $run_id
order by cohort, position
