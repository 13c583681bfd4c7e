-- One row per score and correction in force, or one where there is none: all that may leave the house,
-- no UID, no path.
with in_force as (
    select
        correction_id,
        model_id,
        preprocessing_id,
        kind,
        levels
    from corrections
    qualify row_number() over (
        partition by model_id, preprocessing_id, kind, method
        order by run_id desc
    ) = 1
),

corrected as (
    select
        corrected_scores.sop_instance_uid,
        corrected_scores.model_id,
        corrected_scores.preprocessing_id,
        corrected_scores.correction_id,
        corrected_scores.method,
        corrected_scores.corrected_age,
        -- rows of age, mean PAD, SD of PAD, n
        cast(cast(coalesce(correction_folds.levels, in_force.levels) as json) as double[][]) as levels,
        array_to_string(corrected_scores.flags, ' ') as flags
    from corrected_scores
    inner join in_force on corrected_scores.correction_id = in_force.correction_id
    left join correction_folds
        on
            corrected_scores.correction_id = correction_folds.correction_id
            and corrected_scores.fold = correction_folds.fold
)

select
    images.subject_id,
    images.kind,
    images.sex,
    images.age_years,
    images.study_date,
    images.manufacturer,
    models.model_id,
    models.name as model_name,
    models.version as model_version,
    scores.preprocessing_id,
    scores.spine_age as spine_age_raw,
    scores.spine_age_rounded,
    scores.spine_age_sd,
    corrected.correction_id,
    corrected.method as correction_method,
    corrected.corrected_age as spine_age_corrected,
    corrected.flags as correction_flags,
    scores.spine_age - images.age_years as pad_raw,
    corrected.corrected_age - images.age_years as pad_corrected,
    -- Zhang's z of an age-level correction: PAD in SDs of its year of age; never added to an age
    (corrected.corrected_age - images.age_years) / list_extract(
        corrected.levels,
        1 + cast(
            least(
                greatest(floor(images.age_years) - corrected.levels[1][1], 0), len(corrected.levels) - 1
            ) as bigint
        )
    )[3] as pad_z,
    array_to_string(list_concat(files.flags, pixel_facts.flags), ' ') as flags
from scores
inner join known_images as images on scores.sop_instance_uid = images.sop_instance_uid
inner join models on scores.model_id = models.model_id
left join files on images.path_bytes = files.path_bytes
left join pixel_facts on scores.sop_instance_uid = pixel_facts.sop_instance_uid
left join corrected
    on
        scores.sop_instance_uid = corrected.sop_instance_uid
        and scores.model_id = corrected.model_id
        and scores.preprocessing_id = corrected.preprocessing_id
where
    $model is null
    or models.model_id = $model
    or models.name = $model
order by
    models.name,
    models.model_id,
    scores.preprocessing_id,
    images.subject_id,
    images.study_date,
    images.study_time,
    scores.sop_instance_uid,
    corrected.method
