-- One row per image that is wanted: its file, what the network took of it, score, correction, and runs.
select
    scores.sop_instance_uid,
    files.path,
    images.size_bytes,
    scores.pixel_sha256,
    scores.input_sha256,
    images.run_id as ingest_run,
    scores.run_id as score_run,
    scores.model_id,
    scores.preprocessing_id,
    scores.device,
    scores.precision,
    scores.spine_age as spine_age_raw,
    corrected_scores.corrected_age as spine_age_corrected,
    corrected_scores.correction_id,
    corrected_scores.fold as correction_fold,
    corrections.run_id as calibrate_run
from scores
inner join wanted on scores.sop_instance_uid = wanted.sop_instance_uid
left join images on scores.sop_instance_uid = images.sop_instance_uid
left join files on images.path_bytes = files.path_bytes
left join corrections
    on
        images.kind = corrections.kind
        and scores.model_id = corrections.model_id
        and scores.preprocessing_id = corrections.preprocessing_id
        and corrections.method = $method
        and corrections.run_id = (
            select max(latest.run_id)
            from corrections as latest
            where
                latest.kind = corrections.kind
                and latest.model_id = corrections.model_id
                and latest.preprocessing_id = corrections.preprocessing_id
                and latest.method = corrections.method
        )
left join corrected_scores
    on
        scores.sop_instance_uid = corrected_scores.sop_instance_uid
        and scores.model_id = corrected_scores.model_id
        and scores.preprocessing_id = corrected_scores.preprocessing_id
        and corrections.correction_id = corrected_scores.correction_id
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
order by scores.sop_instance_uid
