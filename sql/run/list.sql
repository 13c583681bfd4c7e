-- One row per run.
select
    run_id,
    command,
    version,
    model_id,
    started_at,
    ended_at,
    outcome,
    counts
from runs
order by run_id
