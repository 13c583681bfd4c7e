-- One row per subject and kind: the age distribution of the first image, with the age it was taken at.
select
    known_images.subject_id,
    known_images.image_subject_id,
    known_images.kind,
    known_images.age_years,
    scores.age_distribution
from scores
inner join known_images on scores.sop_instance_uid = known_images.sop_instance_uid
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
    and scores.age_distribution is not null
    and known_images.subject_id is not null
    and known_images.age_years is not null
qualify
    row_number() over (
        partition by known_images.subject_id, known_images.kind
        order by known_images.study_date, known_images.study_time, known_images.sop_instance_uid
    ) = 1
order by known_images.subject_id, known_images.kind
