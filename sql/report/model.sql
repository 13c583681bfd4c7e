-- One row: what is recorded of a model.
select
    name,
    version,
    manifest
from models
where model_id = $model_id
