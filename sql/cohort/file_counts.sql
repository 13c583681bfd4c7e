-- One row per state and reason of files, and whether they hold an image; then one per reason why images were
-- not scored, null where they were.
with held as (
    select
        files.state,
        coalesce(files.reason, '') as reason,
        images.sop_instance_uid is not null as holds_image
    from files
    left join images on files.path_bytes = images.path_bytes
),

of_model as (
    select
        scores.sop_instance_uid is not null as is_scored,
        coalesce(score_failures.reason, 'not tried yet') as reason
    from images
    left join scores
        on
            images.sop_instance_uid = scores.sop_instance_uid
            and scores.model_id = $model_id
            and scores.preprocessing_id = $preprocessing_id
    left join score_failures
        on
            images.sop_instance_uid = score_failures.sop_instance_uid
            and score_failures.model_id = $model_id
            and score_failures.preprocessing_id = $preprocessing_id
    where images.path_bytes is not null -- an imported age has no image
)

select
    'found' as step,
    state,
    reason,
    holds_image as remains,
    count(*) as n
from held
group by all
union all
select
    'scored' as step,
    'image' as state,
    case when is_scored then '' else reason end as reason,
    is_scored as remains,
    count(*) as n
from of_model
group by all
order by step, state, reason
