-- One row per image with a subject, as its own header has sex and age; links (registered) say which patient
-- ids are which subject of the follow-up table.
select
    images.sop_instance_uid,
    images.sex,
    images.age_years,
    images.study_date,
    coalesce(links.subject_id, images.subject_id) as subject_id
from images
left join links on images.subject_id = links.image_subject_id
where
    images.subject_id is not null
    and (links.subject_id is not null or not $only_links)
order by images.sop_instance_uid
