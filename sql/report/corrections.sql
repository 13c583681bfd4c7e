-- One row per kind of image: the correction in force.
select
    correction_id,
    method,
    kind,
    model_id,
    preprocessing_id,
    slope,
    intercept,
    n_reference,
    reference_cohort,
    reference_sha256,
    age_min,
    age_max,
    run_id,
    artefact, -- null for those of a schema before 8
    coalesce(fitted_kind, kind) as fitted_kind
from corrections
where
    model_id = $model_id
    and preprocessing_id = $preprocessing_id
    and method = $method
qualify
    row_number() over (
        partition by kind
        order by run_id desc
    ) = 1
order by kind
