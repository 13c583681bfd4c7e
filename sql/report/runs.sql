-- One row per finished run that an analysis may rest on: the latest of each stage up to it.
select
    run_id,
    command,
    version,
    started_at,
    ended_at,
    outcome,
    counts
from runs
where
    run_id <= $run_id
    and command <> 'report'
    and outcome in ('done', 'partial')
    and (model_id is null or model_id = $model_id)
qualify
    row_number() over (
        partition by command
        order by run_id desc
    ) = 1
order by run_id
