-- One row per comparison that the newest drift run of a model made, in its order.
select
    measure,
    kind,
    "group",
    against,
    value,
    lower,
    upper,
    sd,
    threshold,
    n,
    n_reference,
    beyond,
    note
from drift
where
    run_id = (
        select max(newest.run_id) from drift as newest
        where
            newest.model_id = $model_id
            and newest.preprocessing_id = $preprocessing_id
    )
order by rowid
