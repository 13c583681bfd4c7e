-- One row per score that a correction has been applied to.
select
    sop_instance_uid,
    corrected_age,
    fold,
    flags
from corrected_scores
where
    model_id = $model_id
    and preprocessing_id = $preprocessing_id
    and correction_id = $correction_id
