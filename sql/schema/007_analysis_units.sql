-- Version 7: what each part of an analysis was computed from, so that only what changed is computed again.

-- One row per cohort and endpoint of an analysis.
create table if not exists analysis_units (
    run_id bigint not null,
    model_id varchar not null,
    cohort varchar not null,
    endpoint varchar not null,
    fingerprint varchar not null,       -- SHA-256 of its subjects, follow-up, settings, software version
    primary key (run_id, cohort, endpoint)
);
