-- One row per kind of eligible image: how many, of how many subjects, of which ages.
-- Of one imported model only, or of images that came as files.
select
    images.kind,
    count(*) as n_images,
    count(distinct images.subject_id) as n_subjects,
    min(images.age_years) as youngest,
    max(images.age_years) as oldest,
    count(*) filter (where images.synthetic) as n_synthetic
from images
where
    case
        when $model_id is null then images.path_bytes is not null
        else images.sop_instance_uid in (
            select scores.sop_instance_uid
            from scores
            where scores.model_id = $model_id
        )
    end
group by images.kind
order by n_subjects desc, images.kind asc
