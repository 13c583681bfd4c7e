-- One row per kind and earlier model that a run of this model has already been compared with.
select distinct
    kind,
    against
from drift
where
    model_id = $model_id
    and preprocessing_id = $preprocessing_id
    and measure = 'change_years'
