-- Version 5: what repeated images of a subject say, row by row.

-- One row per subject and kind of image with images on several days far enough apart; never shareable.
create table if not exists changes (
    run_id bigint not null,
    cohort varchar not null,
    subject_id varchar not null,        -- pseudonym, as in images
    kind varchar not null,              -- radiograph or vfa: kinds are never mixed
    n_days integer not null,            -- days with an image
    first_date date not null,           -- the earliest of them
    span_years double not null,         -- from the earliest to the latest
    pad_raw_per_year double,            -- least-squares slope of the daily means, years per year
    pad_corrected_per_year double       -- the same, corrected; null where not corrected
);

-- One row per subject and kind of image with two distinct images on a day: the first two of the first such
-- day; never shareable.
create table if not exists repeats (
    run_id bigint not null,
    cohort varchar not null,
    subject_id varchar not null,        -- pseudonym, as in images
    kind varchar not null,              -- radiograph or vfa
    study_date date not null,           -- the day
    n_images integer not null,          -- distinct images of that day
    spine_age_mean double not null,     -- mean of the first two, raw, years
    spine_age_difference double not null    -- second minus first, raw, years
);
