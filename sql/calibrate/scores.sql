-- One row per score of a kind with a known age: what a correction is applied to.
select
    scores.sop_instance_uid,
    scores.spine_age,
    known_images.age_years,
    known_images.subject_id,
    known_images.image_subject_id
from scores
inner join known_images on scores.sop_instance_uid = known_images.sop_instance_uid
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
    and known_images.kind = $kind
    and known_images.age_years is not null
order by scores.sop_instance_uid
