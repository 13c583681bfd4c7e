-- One row per score of a kind, with a known age, that a correction has not been applied to.
select
    scores.sop_instance_uid,
    scores.model_id,
    scores.preprocessing_id,
    scores.spine_age,
    known_images.age_years
from scores
inner join known_images on scores.sop_instance_uid = known_images.sop_instance_uid
left join corrected_scores
    on
        scores.sop_instance_uid = corrected_scores.sop_instance_uid
        and scores.model_id = corrected_scores.model_id
        and scores.preprocessing_id = corrected_scores.preprocessing_id
        and corrected_scores.correction_id = $correction_id
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
    and known_images.kind = $kind
    and known_images.age_years is not null
    and corrected_scores.sop_instance_uid is null
order by scores.sop_instance_uid
