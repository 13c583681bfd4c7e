-- One row per image that this model scored: where it lies, its age, the how manieth of its subject and kind.
select
    known_images.sop_instance_uid,
    known_images.image_subject_id,
    known_images.subject_id,
    known_images.kind,
    known_images.age_years,
    known_images.sex,
    known_images.manufacturer,
    images.path_bytes,
    images.size_bytes,
    images.modified_ns,
    scores.spine_age,
    -- text that may name a patient; a phantom's says that it is one
    coalesce(list_contains(files.flags, 'burned_in'), false) and not images.synthetic as burned_in,
    row_number() over (
        partition by known_images.subject_id, known_images.kind
        order by known_images.study_date, known_images.study_time, known_images.sop_instance_uid
    ) as nth_of_subject
from scores
inner join known_images on scores.sop_instance_uid = known_images.sop_instance_uid
inner join images on scores.sop_instance_uid = images.sop_instance_uid
left join files on images.path_bytes = files.path_bytes
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
    and images.path_bytes is not null
    and known_images.subject_id is not null
order by known_images.subject_id, known_images.kind, known_images.sop_instance_uid
