-- One row per correction, newest first.
select
    correction_id,
    method,
    kind,
    model_id,
    slope,
    intercept,
    n_reference,
    reference_cohort,
    age_min,
    age_max,
    run_id
from corrections
order by run_id desc, kind asc
