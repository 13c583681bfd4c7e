-- One row per thing that was found on images: a reason why they could not be scored, or a flag, by kind.
with found as (
    select
        images.kind,
        'not scored' as what,
        score_failures.reason as code
    from score_failures
    inner join images on score_failures.sop_instance_uid = images.sop_instance_uid
    left join scores
        on
            images.sop_instance_uid = scores.sop_instance_uid
            and score_failures.model_id = scores.model_id
            and score_failures.preprocessing_id = scores.preprocessing_id
    where
        score_failures.model_id = $model_id
        and score_failures.preprocessing_id = $preprocessing_id
        and scores.sop_instance_uid is null
    union all
    select
        images.kind,
        'header' as what,
        unnest(files.flags) as code
    from images
    inner join files on images.path_bytes = files.path_bytes
    union all
    select
        images.kind,
        'pixels' as what,
        unnest(pixel_facts.flags) as code
    from images
    inner join pixel_facts on images.sop_instance_uid = pixel_facts.sop_instance_uid
)

select
    what,
    code,
    kind,
    count(*) as n
from found
group by what, code, kind
order by
    case what when 'not scored' then 0 when 'header' then 1 else 2 end asc,
    code asc,
    kind asc
