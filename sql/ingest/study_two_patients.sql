-- One row per image of a study that holds images of several subjects.
with mixed_studies as (
    select study_instance_uid
    from images
    where
        study_instance_uid is not null
        and subject_id is not null
    group by study_instance_uid
    having count(distinct subject_id) > 1
)

select images.path_bytes
from images
inner join mixed_studies on images.study_instance_uid = mixed_studies.study_instance_uid
