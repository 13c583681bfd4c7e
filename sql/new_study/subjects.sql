-- One row per subject with an image: sex where the images agree on it, and age at the first.
select
    images.subject_id,
    case when count(distinct images.sex) = 1 then any_value(images.sex) end as sex,
    min(images.age_years) as age_years
from images
where images.subject_id is not null
group by images.subject_id
