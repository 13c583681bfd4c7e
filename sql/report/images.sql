-- One row per kind of image: what was scored, and the dates it spans.
select
    images.kind,
    count(*) as n_images,
    count(distinct images.subject_id) as n_subjects,
    min(images.study_date) as first_date,
    max(images.study_date) as last_date
from known_images as images
inner join scores on images.sop_instance_uid = scores.sop_instance_uid
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
group by images.kind
order by images.kind
