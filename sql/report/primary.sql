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
    run_id = (select max(latest.run_id) from results as latest)
    and list_contains(flags, 'primary')
