-- One row: the latest finished analysis of a model, with the cohorts it holds.
with latest as (
    select
        run_id,
        input_sha256,
        ended_at
    from runs
    where
        command = 'analyze'
        and outcome in ('done', 'partial')
        and model_id = $model_id
    order by run_id desc
    limit 1
)

select
    latest.run_id,
    latest.input_sha256,
    latest.ended_at,
    coalesce(list(distinct results.cohort), []) as cohorts
from latest
left join results on latest.run_id = results.run_id
group by latest.run_id, latest.input_sha256, latest.ended_at
