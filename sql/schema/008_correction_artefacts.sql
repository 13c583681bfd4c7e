-- Version 8: corrections as artefacts, out-of-fold fits, and what must be said of each corrected age.

alter table corrections add column fitted_kind varchar; -- kind of image it was fitted on; null: as kind
alter table corrections add column artefact varchar;    -- JSON, as its file (docs/calibration.md)

-- One row per fold of a cross-fitted correction: the fit without its subjects, which corrects them.
create table if not exists correction_folds (
    correction_id varchar not null,     -- corrections.correction_id
    fold integer not null,              -- from 0: a seeded hash of the subject
    slope double,                       -- as in corrections
    intercept double,                   -- as in corrections, years
    levels varchar not null,            -- as in corrections, JSON
    n_reference integer not null,       -- subjects of the other folds
    age_min double not null,            -- youngest of them, years
    age_max double not null,            -- oldest of them, years
    run_id bigint not null,             -- the run that stored it
    primary key (correction_id, fold)
);

alter table corrected_scores add column fold integer;       -- whose fit corrected it; null: the whole one
alter table corrected_scores add column flags varchar[];    -- outside_fitted_ages, same_cohort_correction ...
