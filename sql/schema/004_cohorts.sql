-- Version 4: which patient ids are one subject, what the follow-up table says of sex and age, what an
-- analysis counted beside its steps. No index: an import replaces whole tables, and sql/checks/ proves them.

-- One row per patient id that a linkage table gives to a subject of the follow-up table.
create table subject_links (
    image_subject_id varchar not null,      -- images.subject_id
    subject_id varchar not null,            -- subjects.subject_id: pseudonym of the follow-up table's id
    run_id bigint not null                  -- the import
);

-- One row per subject of the follow-up table.
create table subject_rows (
    subject_id varchar not null,            -- subjects.subject_id
    row_number bigint not null,             -- its row in the table; the first data row is 1
    run_id bigint not null                  -- the import
);

-- One row per image of whose subject the follow-up table says the sex or the age.
create table table_facts (
    sop_instance_uid varchar not null,      -- images.sop_instance_uid
    table_sex varchar,                      -- F, M or null, by the table
    table_age_years double,                 -- age at this image by the table, years
    sex varchar,                            -- table_sex where the image has none
    age_years double,                       -- table_age_years where the image has none and it fits
    run_id bigint not null                  -- the import
);

-- One row per subject of one side of the linkage that has nobody on the other.
create table unmatched (
    run_id bigint not null,         -- the analysis
    side varchar not null check (side in ('table', 'images')),
    subject_id varchar not null,    -- pseudonym
    row_number bigint,              -- table side: row of the follow-up table, the first data row is 1
    n_images bigint,                -- image side: how many images
    reason varchar not null         -- what is not there
);

-- One row per thing counted of a cohort beside the steps of its attrition.
create table cohort_facts (
    run_id bigint not null,         -- the analysis
    cohort varchar not null,
    fact varchar not null,          -- code: docs/cohorts.md lists them
    endpoint varchar,               -- null where it is about the whole cohort
    unit varchar not null,          -- subjects, images, table rows
    n bigint not null,              -- how many
    detail varchar not null         -- in words
);

alter table attrition add column unit varchar;      -- files, images, ages, subjects, table rows

-- One row per subject and endpoint of the follow-up table; no index, so that millions are written in seconds.
create table outcomes_of_any_form (
    subject_id varchar not null,            -- pseudonym, as in images
    endpoint varchar not null,              -- the study file's name
    type varchar not null,                  -- survival or binary
    event integer,                          -- 1, 0 or null when missing
    time_years double,                      -- duration from the time origin, years
    entry_years double,                     -- delayed entry, years from the time origin; else null
    event_date date,                        -- date of the event, where dates are given
    end_date date,                          -- end of follow-up, where dates are given
    origin_date date,                       -- the day durations count from; null where it is the image
    entry_date date,                        -- the day from which events were seen; else null
    run_id bigint not null                  -- the import
);

insert into outcomes_of_any_form (
    subject_id, endpoint, type, event, time_years, entry_years, event_date, end_date, run_id
)
select
    subject_id,
    endpoint,
    type,
    event,
    time_years,
    entry_years,
    event_date,
    end_date,
    run_id
from outcomes;

drop table outcomes;

alter table outcomes_of_any_form rename to outcomes;

-- One row per image as an analysis takes it: the subject a linkage table makes of its patient id; sex and age
-- of the image, else of the follow-up table. Where a linkage table is in force only it links, so an id that
-- it leaves out is kept apart from an id of the follow-up table that happens to read the same.
create view known_images as
with linkage as (
    select count(*) > 0 as in_force
    from subject_links
)

select
    images.sop_instance_uid,
    images.study_instance_uid,
    images.subject_id as image_subject_id,
    images.kind,
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
    images.path_bytes,
    table_facts.table_sex,
    table_facts.table_age_years,
    case
        when subject_links.subject_id is not null then subject_links.subject_id
        when linkage.in_force and subject_rows.subject_id is not null then 'unlinked ' || images.subject_id
        else images.subject_id
    end as subject_id,
    coalesce(images.sex, table_facts.sex) as sex,
    coalesce(images.age_years, table_facts.age_years) as age_years,
    images.sex is null and table_facts.sex is not null as sex_from_table,
    images.age_years is null and table_facts.age_years is not null as age_from_table
from images
cross join linkage
left join subject_links on images.subject_id = subject_links.image_subject_id
left join subject_rows on images.subject_id = subject_rows.subject_id
left join table_facts on images.sop_instance_uid = table_facts.sop_instance_uid;
