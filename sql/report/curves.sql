-- One row per point of a line of an analysis, in the order it is drawn.
select
    cohort,
    analysis,
    endpoint,
    cause,
    model,
    sample,
    variant,
    validation,
    predictor,
    correction,
    comparator,
    term,
    "group",
    subgroup,
    horizon_years,
    method,
    x_name,
    x,
    y,
    lower,
    upper,
    n_at_risk,
    cumulative_events,
    cumulative_censored
from curves
where run_id = $run_id
order by rowid
