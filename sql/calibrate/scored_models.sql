-- One row per model, preprocessing and kind of image with scores: what a correction could be applied to.
select
    models.name,
    scores.model_id,
    scores.preprocessing_id,
    known_images.kind,
    count(*) as n
from scores
inner join models on scores.model_id = models.model_id
inner join known_images on scores.sop_instance_uid = known_images.sop_instance_uid
group by models.name, scores.model_id, scores.preprocessing_id, known_images.kind
order by models.name, scores.model_id, scores.preprocessing_id, known_images.kind
