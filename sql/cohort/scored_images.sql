-- One row per image scored by the model, with its corrected age where this method has a correction in force.
with in_force as (
    select
        kind,
        correction_id,
        method,
        slope
    from corrections
    where
        model_id = $model_id
        and preprocessing_id = $preprocessing_id
        and method = $method
    qualify row_number() over (
        partition by kind
        order by run_id desc
    ) = 1
),

-- Where in its age distribution the age lies, in classes; a class is spread over half a year to either side.
position as (
    select
        scores.sop_instance_uid,
        scores.age_distribution,
        least(
            greatest(known_images.age_years - cast(models.manifest ->> '$.first_age' as double) + 0.5, 0),
            len(scores.age_distribution)
        ) as classes
    from scores
    inner join known_images on scores.sop_instance_uid = known_images.sop_instance_uid
    inner join models on scores.model_id = models.model_id
    where
        scores.model_id = $model_id
        and scores.preprocessing_id = $preprocessing_id
        and scores.age_distribution is not null
        and known_images.age_years is not null
),

age_shares as (
    select
        sop_instance_uid,
        (
            coalesce(list_sum(age_distribution[1:cast(floor(classes) as bigint)]), 0)
            + (classes - floor(classes)) * coalesce(age_distribution[cast(floor(classes) as bigint) + 1], 0)
        ) / list_sum(age_distribution) as age_share
    from position
)

select
    known_images.sop_instance_uid,
    known_images.study_instance_uid,
    known_images.subject_id,
    known_images.image_subject_id,
    known_images.kind,
    known_images.sex,
    known_images.age_years,
    known_images.study_date,
    known_images.study_time,
    known_images.modality,
    known_images.manufacturer,
    known_images.manufacturer_model,
    known_images.view_position,
    known_images.body_part,
    known_images.protocol_name,
    known_images.rows,
    known_images.columns,
    known_images.bits_stored,
    known_images.synthetic,
    known_images.table_sex,
    known_images.table_age_years,
    known_images.sex_from_table,
    known_images.age_from_table,
    scores.spine_age as spine_age_raw,
    scores.spine_age_rounded,
    scores.spine_age_sd,
    age_shares.age_share,
    corrected_scores.corrected_age as spine_age_corrected,
    -- what a year more of spine age adds to the corrected one
    case
        when in_force.method = 'cole' then 1 / coalesce(correction_folds.slope, in_force.slope)
        else 1
    end as corrected_per_year,
    array_to_string(corrected_scores.flags, ' ') as correction_flags,
    coalesce(scores.input_sha256, scores.pixel_sha256) as pixel_sha256,
    array_to_string(list_concat(files.flags, pixel_facts.flags), ' ') as flags
from known_images
inner join scores on known_images.sop_instance_uid = scores.sop_instance_uid
left join files on known_images.path_bytes = files.path_bytes
left join pixel_facts on known_images.sop_instance_uid = pixel_facts.sop_instance_uid
left join in_force on known_images.kind = in_force.kind
left join age_shares on scores.sop_instance_uid = age_shares.sop_instance_uid
left join corrected_scores
    on
        scores.sop_instance_uid = corrected_scores.sop_instance_uid
        and scores.model_id = corrected_scores.model_id
        and scores.preprocessing_id = corrected_scores.preprocessing_id
        and in_force.correction_id = corrected_scores.correction_id
left join correction_folds
    on
        corrected_scores.correction_id = correction_folds.correction_id
        and corrected_scores.fold = correction_folds.fold
where
    scores.model_id = $model_id
    and scores.preprocessing_id = $preprocessing_id
order by known_images.sop_instance_uid
