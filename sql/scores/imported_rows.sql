-- One row per imported score of a model, with what was imported.
select
    images.sop_instance_uid,
    images.kind,
    images.age_years,
    images.sex,
    images.study_date,
    images.manufacturer_raw,
    scores.spine_age,
    scores.spine_age_sd
from scores
inner join images on scores.sop_instance_uid = images.sop_instance_uid
where scores.model_id = $model_id
