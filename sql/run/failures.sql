-- One row per reason for which files were rejected or images have no score of a model.
select
    'file' as what,
    reason,
    count(*) as n
from files
where state = 'rejected' or reason = 'not_found'
group by reason

union all

select
    'image' as what,
    reason,
    count(*) as n
from score_failures
where
    model_id = $model_id
    and preprocessing_id = $preprocessing_id
group by reason
order by
    what asc,
    n desc,
    reason asc
