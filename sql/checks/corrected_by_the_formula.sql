-- One row per corrected age that the correction in force does not give for the image's age and spine age.
with in_force as (
    select
        correction_id,
        method,
        slope,
        intercept,
        levels
    from corrections
    qualify row_number() over (
        partition by model_id, preprocessing_id, kind, method
        order by run_id desc
    ) = 1
),

fits as (
    select
        correction_id,
        null as fold,
        slope,
        intercept,
        levels
    from in_force
    union all
    select
        correction_id,
        fold,
        slope,
        intercept,
        levels
    from correction_folds
),

parsed as (
    select
        correction_id,
        fold,
        slope,
        intercept,
        cast(cast(levels as json) as double[][]) as levels -- rows of age, mean PAD, SD of PAD, n
    from fits
),

computed as (
    select
        corrected_scores.rowid as row_id,
        in_force.method,
        corrected_scores.corrected_age,
        case in_force.method
            when 'beheshti'
                then scores.spine_age - (parsed.slope * known_images.age_years + parsed.intercept)
            when 'cole' then (scores.spine_age - parsed.intercept) / parsed.slope
            else
                scores.spine_age - list_extract(
                    parsed.levels,
                    1 + cast(
                        least(
                            greatest(floor(known_images.age_years) - parsed.levels[1][1], 0),
                            len(parsed.levels) - 1
                        ) as bigint
                    )
                )[2]
        end as by_formula
    from corrected_scores
    inner join in_force on corrected_scores.correction_id = in_force.correction_id
    left join parsed
        on
            corrected_scores.correction_id = parsed.correction_id
            and corrected_scores.fold is not distinct from parsed.fold
    inner join scores
        on
            corrected_scores.sop_instance_uid = scores.sop_instance_uid
            and corrected_scores.model_id = scores.model_id
            and corrected_scores.preprocessing_id = scores.preprocessing_id
    inner join known_images on corrected_scores.sop_instance_uid = known_images.sop_instance_uid
)

select
    row_id,
    method,
    corrected_age,
    by_formula
from computed
where not coalesce(abs(corrected_age - by_formula) <= 1e-9 * greatest(1, abs(by_formula)), false)
order by row_id
