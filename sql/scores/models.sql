-- One row per model with scores in the database, imported or not.
select
    models.model_id,
    models.name,
    coalesce(bool_or(scores.preprocessing_id = $imported), false) as is_imported
from models
left join scores on models.model_id = scores.model_id
group by models.model_id, models.name
order by models.name, models.model_id
