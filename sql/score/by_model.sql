-- One row per model: how many images it scored and how many it failed.
select
    models.name,
    models.version,
    models.model_id,
    count(scores.sop_instance_uid) as scores,
    (
        select count(*)
        from score_failures
        where score_failures.model_id = models.model_id
    ) as failures
from models
left join scores on models.model_id = scores.model_id
group by models.name, models.version, models.model_id
order by models.name, models.model_id
