-- One row: how many subjects the follow-up table has, and how many of them have an image, and a scored one of
-- the kind asked for.
with imaged as (
    select
        known_images.subject_id,
        bool_or(scores.sop_instance_uid is not null) as is_scored
    from known_images
    left join scores
        on
            known_images.sop_instance_uid = scores.sop_instance_uid
            and scores.model_id = $model_id
            and scores.preprocessing_id = $preprocessing_id
            and $kind in ('auto', known_images.kind)
    group by known_images.subject_id
)

select
    count(*) as in_table,
    count(imaged.subject_id) as with_image,
    count(*) filter (where imaged.is_scored) as with_score
from subject_rows
left join imaged on subject_rows.subject_id = imaged.subject_id
