-- One row per image scored by the model, with its corrected age where this method has a correction in force.
with in_force as (
    select
        kind,
        correction_id
    from corrections
    where
        model_id = $model_id
        and preprocessing_id = $preprocessing_id
        and method = $method
    qualify row_number() over (
        partition by kind
        order by run_id desc
    ) = 1
)

select
    images.sop_instance_uid,
    images.study_instance_uid,
    images.subject_id,
    images.kind,
    images.sex,
    images.age_years,
    images.study_date,
    images.study_time,
    images.modality,
    images.manufacturer,
    images.manufacturer_model,
    images.view_position,
    images.body_part,
    images.protocol_name,
    images.rows,
    images.columns,
    images.bits_stored,
    images.synthetic,
    scores.spine_age as spine_age_raw,
    scores.spine_age_rounded,
    scores.spine_age_sd,
    corrected_scores.corrected_age as spine_age_corrected,
    array_to_string(list_concat(files.flags, pixel_facts.flags), ' ') as flags
from images
inner join scores on images.sop_instance_uid = scores.sop_instance_uid
left join files on images.path_bytes = files.path_bytes
left join pixel_facts on images.sop_instance_uid = pixel_facts.sop_instance_uid
left join in_force on images.kind = in_force.kind
left join corrected_scores
    on
        scores.sop_instance_uid = corrected_scores.sop_instance_uid
        and scores.model_id = corrected_scores.model_id
        and scores.preprocessing_id = corrected_scores.preprocessing_id
        and in_force.correction_id = corrected_scores.correction_id
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
order by images.sop_instance_uid
