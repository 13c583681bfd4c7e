-- One row per image scored by a model and by the one before it, whose scores are the newest older ones.
with own as (
    select *
    from scores
    where
        model_id = $model_id
        and preprocessing_id = $preprocessing_id
),

earlier as (
    select
        model_id,
        preprocessing_id
    from scores
    where
        (model_id <> $model_id or preprocessing_id <> $preprocessing_id)
        and preprocessing_id <> 'imported'
        and run_id < (select min(own.run_id) from own)
    order by run_id desc
    limit 1
)

select
    own.kind,
    scores.spine_age as age_before,
    own.spine_age as age_now,
    concat(
        models.name, ' ', models.version, ' (', earlier.model_id, ', ', earlier.preprocessing_id, ')'
    ) as old_model
from own
cross join earlier
inner join scores
    on
        own.sop_instance_uid = scores.sop_instance_uid
        and own.kind = scores.kind
        and earlier.model_id = scores.model_id
        and earlier.preprocessing_id = scores.preprocessing_id
inner join models on earlier.model_id = models.model_id
order by own.sop_instance_uid
