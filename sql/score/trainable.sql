-- One row per image that a network can be trained on: subject and age are known.
-- The order is part of a training run's identity.
select
    subject_id,
    image_subject_id,
    kind,
    age_years,
    sex,
    manufacturer,
    path_bytes,
    synthetic
from known_images
where
    path_bytes is not null
    and subject_id is not null
    and age_years >= $first_age
    and age_years < $last_age
order by sop_instance_uid
