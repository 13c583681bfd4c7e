-- Version 9: how far small changes to an image's pixels move its age (`spinescore model perturb`).

-- One row per image, model and change.
create table perturbed_scores (
    sop_instance_uid varchar not null,      -- scores.sop_instance_uid
    model_id varchar not null,              -- scores.model_id
    preprocessing_id varchar not null,      -- scores.preprocessing_id
    perturbation varchar not null,          -- the change, as docs/trust.md names it
    family varchar not null,                -- shift, rotation or exposure
    spine_age double not null,              -- of the changed image, years
    change_years double not null,           -- from the unchanged image's, years
    run_id bigint not null,                 -- the run that made it
    primary key (sop_instance_uid, model_id, preprocessing_id, perturbation)
);
