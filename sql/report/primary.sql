-- One row: the pre-declared primary estimate of the latest analysis.
select
    cohort,
    endpoint,
    model,
    predictor,
    value,
    lower,
    upper,
    p_value,
    scale,
    n,
    events,
    status,
    note
from results
where
    run_id = (select max(run_id) from results)
    and list_contains(flags, 'primary')
