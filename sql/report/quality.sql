-- One row per kind and manufacturer: images indexed, scored and flagged, and the width of their ages.
with flagged as (
    select
        images.sop_instance_uid,
        len(list_concat(coalesce(files.flags, []), coalesce(pixel_facts.flags, []))) > 0 as has_flag
    from images
    left join files on images.path_bytes = files.path_bytes
    left join pixel_facts on images.sop_instance_uid = pixel_facts.sop_instance_uid
)

select
    images.kind,
    coalesce(images.manufacturer, 'not recorded') as manufacturer,
    count(*) as n_images,
    count(distinct images.subject_id) as n_subjects,
    count(scores.sop_instance_uid) as n_scored,
    count(score_failures.sop_instance_uid) as n_failed,
    count(*) filter (where flagged.has_flag) as n_flagged,
    quantile_cont(scores.spine_age_sd, 0.25) as sd_q1,
    quantile_cont(scores.spine_age_sd, 0.5) as sd_median,
    quantile_cont(scores.spine_age_sd, 0.75) as sd_q3
from images
inner join flagged on images.sop_instance_uid = flagged.sop_instance_uid
left join scores
    on
        images.sop_instance_uid = scores.sop_instance_uid
        and scores.model_id = $model_id
        and scores.preprocessing_id = $preprocessing_id
left join score_failures
    on
        images.sop_instance_uid = score_failures.sop_instance_uid
        and score_failures.model_id = $model_id
        and score_failures.preprocessing_id = $preprocessing_id
        and scores.sop_instance_uid is null
where images.path_bytes is not null
group by all
order by images.kind asc, n_images desc, manufacturer asc
