-- Version 10: how recent images compare with the reference set (`[drift]` of a study file).

-- One row per comparison of a run; the newest run of a model holds.
create table drift (
    run_id bigint not null,                 -- the run that compared
    model_id varchar not null,              -- scores.model_id
    preprocessing_id varchar not null,      -- scores.preprocessing_id
    measure varchar not null,               -- psi, shift_years, failed_share ... (docs/drift.md)
    kind varchar not null,                  -- of image
    "group" varchar,                        -- maker, device or protocol; null: all of the kind
    against varchar,                        -- manufacturer, kind, or the model before
    value double,                           -- null where there is none; then note says why
    lower double,                           -- of the interval, or of the limits of agreement
    upper double,                           -- likewise; of psi: what it may be by chance
    sd double,                              -- of changes of single images, years
    threshold double,                       -- null where none is set
    n bigint not null,                      -- images compared
    n_reference bigint not null,            -- subjects of the reference set
    beyond boolean not null,                -- whether value is beyond threshold
    note varchar                            -- no_reference or too_few
);
