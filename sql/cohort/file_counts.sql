-- One row per state and reason of files, and one for images that the model could not score.
select
    'found' as step,
    state,
    coalesce(reason, '') as reason,
    count(*) as n
from files
group by state, reason
union all
select
    'scored' as step,
    'failed' as state,
    reason,
    count(*) as n
from score_failures
where
    model_id = $model_id
    and preprocessing_id = $preprocessing_id
group by reason
order by step, state, reason
