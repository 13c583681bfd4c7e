-- One row per image that this model has not scored, nor failed to score, as its file is now; in the order of
-- listing, since members of a compressed archive are cheap to read in the order they lie in.
with kept as ( -- what any model of this preprocessing took from a file
    select
        sop_instance_uid,
        size_bytes,
        modified_ns,
        kind,
        any_value(input_sha256) as input_sha256,
        any_value(pixel_sha256) as pixel_sha256
    from scores
    where preprocessing_id = $preprocessing_id
    group by all
)

select
    images.sop_instance_uid,
    images.kind,
    images.synthetic,
    images.path_bytes,
    images.size_bytes,
    images.modified_ns,
    earlier.input_sha256 as scored_input_sha256,
    kept.input_sha256 as kept_input_sha256,
    kept.pixel_sha256 as kept_pixel_sha256,
    pixel_facts.sop_instance_uid is not null as has_facts
from images
left join scores
    on
        images.sop_instance_uid = scores.sop_instance_uid
        and images.size_bytes = scores.size_bytes
        and images.modified_ns = scores.modified_ns
        and images.kind = scores.kind
        and scores.model_id = $model_id
        and scores.preprocessing_id = $preprocessing_id
left join score_failures
    on
        images.sop_instance_uid = score_failures.sop_instance_uid
        and images.size_bytes = score_failures.size_bytes
        and images.modified_ns = score_failures.modified_ns
        and score_failures.model_id = $model_id
        and score_failures.preprocessing_id = $preprocessing_id
        and not $retry
left join scores as earlier
    on
        images.sop_instance_uid = earlier.sop_instance_uid
        and images.kind = earlier.kind
        and earlier.model_id = $model_id
        and earlier.preprocessing_id = $preprocessing_id
left join kept
    on
        images.sop_instance_uid = kept.sop_instance_uid
        and images.size_bytes = kept.size_bytes
        and images.modified_ns = kept.modified_ns
        and images.kind = kept.kind
left join files on images.path_bytes = files.path_bytes
left join pixel_facts
    on
        images.sop_instance_uid = pixel_facts.sop_instance_uid
        and images.size_bytes = pixel_facts.size_bytes
        and images.modified_ns = pixel_facts.modified_ns
where
    images.path_bytes is not null -- an imported age has no image
    and scores.sop_instance_uid is null
    and score_failures.sop_instance_uid is null
order by files.rowid
