-- One row per person with an index image: the follow-up table of study.toml, from OMOP tables (5.3, 5.4).
--
-- Standard SQL, tried in DuckDB. Put your concepts into the first two blocks (your vocabulary tables and
-- Athena list them); `concept_ancestor` takes everything below them in. Codes leave as 0/1.

with

image_procedures as (
    -- Lateral spine radiographs and vertebral fracture assessments: put the codes of your site here.
    select concept_id
    from concept
    where vocabulary_id = 'Site' and concept_code in ('SPINE-LATERAL', 'VFA')
),

concept_sets as (
    -- The condition sets, each by its topmost concept.
    select
        case concept_code when '125605004' then 'fracture' else 'osteoporosis' end as set_name,
        concept_ancestor.descendant_concept_id as concept_id
    from concept
    inner join concept_ancestor on concept.concept_id = concept_ancestor.ancestor_concept_id
    where concept.vocabulary_id = 'SNOMED' and concept.concept_code in ('125605004', '64859006')
),

index_images as (
    -- The first image: use `index_image = "first"` in the study file.
    select
        person_id,
        min(procedure_date) as image_date
    from procedure_occurrence
    where procedure_concept_id in (select concept_id from image_procedures)
    group by person_id
),

conditions as (
    select
        condition_occurrence.person_id,
        concept_sets.set_name,
        condition_occurrence.condition_start_date as start_date
    from condition_occurrence
    inner join concept_sets on condition_occurrence.condition_concept_id = concept_sets.concept_id
),

before_image as (
    select
        index_images.person_id,
        max(case when conditions.set_name = 'fracture' then 1 else 0 end) as prevalent_fracture,
        max(case when conditions.set_name = 'osteoporosis' then 1 else 0 end) as osteoporosis
    from index_images
    inner join conditions on index_images.person_id = conditions.person_id
    where conditions.start_date < index_images.image_date
    group by index_images.person_id
),

first_fractures as (
    -- On or after the day of the image; what to do with events of that day is the study file's `day_zero`.
    select
        index_images.person_id,
        min(conditions.start_date) as fracture_date
    from index_images
    inner join conditions on index_images.person_id = conditions.person_id
    where conditions.set_name = 'fracture' and conditions.start_date >= index_images.image_date
    group by index_images.person_id
),

observed as (
    -- The observation period that holds the image; without one the end is null: follow-up is missing.
    select
        index_images.person_id,
        max(observation_period.observation_period_end_date) as period_end_date
    from index_images
    inner join observation_period on index_images.person_id = observation_period.person_id
    where
        index_images.image_date >= observation_period.observation_period_start_date
        and index_images.image_date <= observation_period.observation_period_end_date
    group by index_images.person_id
),

ends as (
    -- Follow-up ends with the period or with death. What comes later did not happen under observation.
    select
        observed.person_id,
        death.death_date,
        case
            when death.death_date < observed.period_end_date then death.death_date
            else observed.period_end_date
        end as end_date
    from observed
    left join death on observed.person_id = death.person_id
),

ranked_smoking as (
    -- Tobacco smoking status (LOINC 72166-2): the last answer up to the image.
    select
        index_images.person_id,
        observation.value_as_string as smoking,
        row_number() over (
            partition by index_images.person_id
            order by observation.observation_date desc, observation.observation_id desc
        ) as answer_rank
    from index_images
    inner join observation on index_images.person_id = observation.person_id
    inner join concept on observation.observation_concept_id = concept.concept_id
    where
        concept.vocabulary_id = 'LOINC' and concept.concept_code = '72166-2'
        and observation.observation_date <= index_images.image_date
)

select
    -- What the images carry as PatientID; check it with your OMOP team.
    person.person_source_value as patient_id,
    case person.gender_concept_id when 8507 then 'M' when 8532 then 'F' end as sex,
    person.year_of_birth,
    index_images.image_date,
    coalesce(before_image.prevalent_fracture, 0) as prevalent_fracture,
    coalesce(before_image.osteoporosis, 0) as osteoporosis,
    ranked_smoking.smoking,
    case
        when first_fractures.fracture_date <= ends.end_date then first_fractures.fracture_date
    end as fracture_date,
    case when ends.death_date <= ends.end_date then ends.death_date end as death_date,
    ends.end_date
from index_images
inner join person on index_images.person_id = person.person_id
left join before_image on index_images.person_id = before_image.person_id
left join first_fractures on index_images.person_id = first_fractures.person_id
left join ends on index_images.person_id = ends.person_id
left join ranked_smoking
    on index_images.person_id = ranked_smoking.person_id and ranked_smoking.answer_rank = 1
order by patient_id
