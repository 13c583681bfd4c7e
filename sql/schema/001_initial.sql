-- The whole database, version 1. One table per noun; every derived row carries the run that made it.

-- One row per fact about the database itself, fixed when it is made.
create table meta (
    key varchar primary key,        -- name of the fact: identifiers, key_fingerprint, created_by
    value varchar not null          -- its value
);

-- One row per command that changed the database.
create table runs (
    run_id bigint primary key,      -- 1, 2, 3 ...
    command varchar not null,       -- ingest, score, calibrate, outcomes, analyze, report
    arguments varchar not null,     -- JSON of its settings
    version varchar not null,       -- spinescore's version
    model_id varchar,               -- the model used, where one was
    input_sha256 varchar,           -- fingerprint of everything the run's output depends on
    started_at timestamp not null,  -- UTC
    ended_at timestamp,             -- UTC; null while it runs or if it was killed
    outcome varchar,                -- done, partial, unchanged, failed; null while it runs
    counts varchar                  -- JSON of counts
);

-- One row per path seen at ingest.
create table files (
    path varchar not null,          -- the path; bytes that are not UTF-8 are backslash-escaped
    path_bytes blob primary key,    -- the path as the file system has it
    size_bytes bigint not null,     -- size when last read
    modified_ns bigint not null,    -- modification time when last read, ns since 1970
    state varchar not null check (state in ('indexed', 'duplicate', 'excluded', 'rejected')),
    reason varchar,                 -- reason code; null for indexed
    detail varchar,                 -- what was found, in words
    flags varchar[] not null,       -- flag codes of an indexed image
    sop_instance_uid varchar,       -- the image the path holds, where it could be read
    run_id bigint not null          -- the run that last read it
);

-- One row per eligible image (SOP instance).
create table images (
    sop_instance_uid varchar primary key,   -- DICOM (0008,0018)
    study_instance_uid varchar,             -- DICOM (0020,000D)
    series_instance_uid varchar,            -- DICOM (0020,000E)
    subject_id varchar,                     -- pseudonym of the patient id; null when the header has none
    kind varchar not null check (kind in ('radiograph', 'vfa')),
    age_years double,                       -- (study date - birth date) / 365.25, else PatientAge
    sex varchar,                            -- F, M or null
    study_date date,                        -- DICOM (0008,0020)
    study_time varchar,                     -- DICOM (0008,0030), HHMMSS
    modality varchar,                       -- DICOM (0008,0060)
    manufacturer varchar,                   -- DICOM (0008,0070)
    manufacturer_model varchar,             -- DICOM (0008,1090)
    view_position varchar,                  -- DICOM (0018,5101)
    body_part varchar,                      -- DICOM (0018,0015)
    protocol_name varchar,                  -- DICOM (0018,1030)
    photometric varchar not null,           -- DICOM (0028,0004)
    transfer_syntax varchar not null,       -- DICOM (0002,0010)
    rows integer not null,                  -- pixels
    columns integer not null,               -- pixels
    bits_stored integer not null,           -- DICOM (0028,0101)
    spacing_mm double,                      -- row spacing, mm per pixel; null when absent or invalid
    synthetic boolean not null,             -- DICOM (0008,001C) SyntheticData = YES
    eligibility_rule varchar not null,      -- the rule that let it in
    path_bytes blob not null,               -- where its pixels are
    size_bytes bigint not null,             -- size of that file when read
    modified_ns bigint not null,            -- modification time of that file when read
    run_id bigint not null                  -- the run that indexed it
);

-- One row per model ever used.
create table models (
    model_id varchar primary key,   -- SHA-256 of weights and manifest, shortened
    name varchar not null,          -- from the manifest
    version varchar not null,       -- from the manifest
    manifest varchar not null,      -- the manifest, JSON
    run_id bigint not null          -- the run that first used it
);

-- One row per image, model and preprocessing.
create table scores (
    sop_instance_uid varchar not null,      -- images.sop_instance_uid
    model_id varchar not null,              -- models.model_id
    preprocessing_id varchar not null,      -- SHA-256 of the preprocessing spec, shortened
    spine_age double not null,              -- mean of the age distribution, years, unrounded
    spine_age_rounded integer not null,     -- floor(mean + 0.5), years
    spine_age_sd double not null,           -- SD of the age distribution, years
    age_distribution float[] not null,      -- probability per year of age, from the model's first age
    pixel_sha256 varchar not null,          -- hash of the decoded pixels
    kind varchar not null,                  -- the kind it was scored as
    device varchar not null,                -- cpu or cuda
    precision varchar not null,             -- fp32, bf16 ...
    size_bytes bigint not null,             -- the file as it was when scored
    modified_ns bigint not null,            -- the file as it was when scored
    run_id bigint not null,                 -- the run that made it
    primary key (sop_instance_uid, model_id, preprocessing_id)
);

-- One row per image that a model could not score.
create table score_failures (
    sop_instance_uid varchar not null,      -- images.sop_instance_uid
    model_id varchar not null,              -- models.model_id
    preprocessing_id varchar not null,      -- as in scores
    reason varchar not null,                -- reason code
    detail varchar not null,                -- what was found, in words
    size_bytes bigint not null,             -- the file as it was when tried
    modified_ns bigint not null,            -- the file as it was when tried
    run_id bigint not null,                 -- the run that tried
    primary key (sop_instance_uid, model_id, preprocessing_id)
);

-- One row per fitted bias correction and kind of image.
create table corrections (
    correction_id varchar primary key,      -- SHA-256 of content, shortened
    method varchar not null,                -- beheshti, cole, age-level
    kind varchar not null,                  -- radiograph or vfa
    model_id varchar not null,              -- the model whose ages it corrects
    preprocessing_id varchar not null,      -- as in scores
    slope double,                           -- Beheshti's a or Cole's a'
    intercept double,                       -- Beheshti's b or Cole's b', years
    levels varchar not null,                -- age-level rows, JSON: age, mean PAD, SD of PAD, n
    n_reference integer not null,           -- images fitted on
    reference_cohort varchar not null,      -- the study file's name of the reference cohort
    reference_sha256 varchar not null,      -- hash of the reference rows
    age_min double not null,                -- youngest age fitted on, years
    age_max double not null,                -- oldest age fitted on, years
    run_id bigint not null                  -- the run that fitted it
);

-- One row per score and correction.
create table corrected_scores (
    sop_instance_uid varchar not null,      -- scores.sop_instance_uid
    model_id varchar not null,              -- scores.model_id
    preprocessing_id varchar not null,      -- scores.preprocessing_id
    correction_id varchar not null,         -- corrections.correction_id
    method varchar not null,                -- corrections.method
    corrected_age double not null,          -- years
    run_id bigint not null,                 -- the run that applied it
    primary key (sop_instance_uid, model_id, preprocessing_id, correction_id)
);

-- One row per subject and endpoint of the follow-up table.
create table outcomes (
    subject_id varchar not null,            -- pseudonym, as in images
    endpoint varchar not null,              -- the study file's name
    type varchar not null,                  -- survival or binary
    event integer,                          -- 1, 0 or null when missing
    time_years double,                      -- duration from the time origin, years
    entry_years double,                     -- delayed entry, years; null when not declared
    event_date date,                        -- date of the event, where dates are given
    end_date date,                          -- end of follow-up, where dates are given
    run_id bigint not null,                 -- the import
    primary key (subject_id, endpoint)
);

-- One row per subject of the reference split and kind of image, as last assigned.
create table splits (
    subject_id varchar not null,            -- images.subject_id
    kind varchar not null,                  -- radiograph or vfa
    split varchar not null check (split in ('train', 'validation', 'test', 'reference')),
    seed bigint not null,                   -- the seed that assigned it
    primary key (subject_id, kind)
);

-- One row per number (documented in docs/results.md).
create table results (
    run_id bigint not null,
    model_id varchar not null,
    cohort varchar not null,
    analysis varchar not null,
    endpoint varchar,
    cause varchar,
    model varchar,
    sample varchar,
    variant varchar,
    validation varchar,
    predictor varchar,
    correction varchar,
    comparator varchar,
    term varchar,
    "group" varchar,
    subgroup varchar,
    horizon_years double,
    method varchar,
    statistic varchar not null,
    value double,
    se double,
    lower double,
    upper double,
    conf_level double,
    p_value double,
    p_adjusted double,
    family varchar,
    df double,
    scale double,
    n bigint,
    events bigint,
    person_years double,
    status varchar not null check (status in ('ok', 'not_estimable', 'suppressed')),
    flags varchar[] not null,
    note varchar
);

-- One row per point of a line to draw.
create table curves (
    run_id bigint not null,
    model_id varchar not null,
    cohort varchar not null,
    analysis varchar not null,
    endpoint varchar,
    cause varchar,
    predictor varchar,
    correction varchar,
    "group" varchar,
    method varchar,
    x_name varchar not null,
    x double not null,
    y double not null,
    lower double,
    upper double,
    n_at_risk bigint,
    cumulative_events bigint,
    cumulative_censored bigint
);

-- One row per subject and cohort, for scatter plots; never shareable.
create table points (
    run_id bigint not null,
    cohort varchar not null,
    age_years double not null,
    spine_age_raw double not null,
    spine_age_corrected double,
    sex varchar
);

-- One row per step of exclusion.
create table attrition (
    run_id bigint not null,
    cohort varchar not null,
    position integer not null,      -- order of the steps
    step varchar not null,          -- what the step asks for
    endpoint varchar,               -- null for steps before the endpoints
    reason varchar not null,        -- why rows left at this step
    n_excluded bigint not null,     -- how many left for this reason
    n_remaining bigint not null     -- how many are left after it
);
