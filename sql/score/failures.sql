-- One row per image that could not be scored.
select
    files.path,
    score_failures.reason,
    score_failures.detail
from score_failures
inner join images on score_failures.sop_instance_uid = images.sop_instance_uid
inner join files on images.path_bytes = files.path_bytes
where
    score_failures.model_id = $model_id
    and score_failures.preprocessing_id = $preprocessing_id
order by files.path
