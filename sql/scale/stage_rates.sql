-- One row per model and device, newest first: mean seconds of each stage per image, and mean bytes of a file.
with indexed as (
    select count(*) as n from images
)

select
    scores.model_id,
    scores.device,
    any_value(models.manifest) as manifest,
    count(*) as n_images,
    avg(scores.decode_s) as decode_s,
    coalesce(avg(scores.quality_s), 0) as quality_s,
    avg(scores.preprocess_s) as preprocess_s,
    avg(scores.forward_s) as forward_s,
    avg(images.size_bytes) as image_bytes,
    (select indexed.n from indexed) as n_indexed
from scores
inner join images on scores.sop_instance_uid = images.sop_instance_uid
inner join models on scores.model_id = models.model_id
where
    scores.decode_s is not null -- spared where the network's input was kept
    and scores.preprocess_s is not null
    and scores.forward_s is not null
group by scores.model_id, scores.device
order by max(scores.run_id) desc, scores.device
