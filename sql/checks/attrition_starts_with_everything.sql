-- One row per cohort of an analysis whose first step does not count every file (every imported age), unless
-- some came since.
with first_steps as (
    select
        cohort,
        arg_min(step, position) as step,
        arg_min(n_remaining, position) as n
    from attrition
    where run_id = $run_id
    group by cohort
),

everything as (
    select
        'files found' as step,
        count(*) as n,
        coalesce(max(run_id), 0) as latest_run
    from files
    union all
    select
        'rows imported' as step,
        count(*) as n,
        coalesce(max(scores.run_id), 0) as latest_run
    from scores
    inner join runs on scores.model_id = runs.model_id
    where runs.run_id = $run_id
)

select
    first_steps.cohort,
    first_steps.step,
    first_steps.n,
    everything.n as n_there
from first_steps
left join everything on first_steps.step = everything.step
where
    everything.n is null
    or (first_steps.n <> everything.n and everything.latest_run < $run_id)
order by first_steps.cohort
