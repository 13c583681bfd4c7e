-- One row per image that a model was tried on, in the order of trying.
with tried as (
    select
        sop_instance_uid,
        run_id,
        false as failed
    from scores
    where
        model_id = $model_id
        and preprocessing_id = $preprocessing_id

    union all

    select
        sop_instance_uid,
        run_id,
        true as failed
    from score_failures
    where
        model_id = $model_id
        and preprocessing_id = $preprocessing_id
)

select
    tried.sop_instance_uid,
    images.kind,
    tried.failed
from tried
inner join images on tried.sop_instance_uid = images.sop_instance_uid
order by
    tried.run_id asc,
    images.study_date asc nulls first,
    tried.sop_instance_uid asc
