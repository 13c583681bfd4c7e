-- One row if the model was used before.
select model_id
from models
where model_id = $model_id
