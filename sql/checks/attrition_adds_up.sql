-- One row per step of an analysis that does not leave what was there before less those who left.
with steps as (
    select
        cohort,
        endpoint,
        position,
        step,
        reason,
        n_excluded,
        n_remaining,
        unit = 'table rows' as of_table
    from attrition
    where run_id = $run_id
),

arrived as (
    select
        cohort,
        arg_max(n_remaining, position) as n_subjects
    from steps
    where endpoint is null and not of_table
    group by cohort
),

chained as (
    select
        steps.*,
        coalesce(
            lag(steps.n_remaining) over (
                partition by steps.cohort, steps.endpoint, steps.of_table
                order by steps.position
            ),
            -- the first step of an endpoint follows on the last one of the cohort
            case when steps.endpoint is null then steps.n_remaining else arrived.n_subjects end
        ) as n_before
    from steps
    inner join arrived on steps.cohort = arrived.cohort
)

select
    cohort,
    endpoint,
    position,
    step,
    reason,
    n_before,
    n_excluded,
    n_remaining
from chained
where n_remaining <> n_before - n_excluded or n_excluded < 0 or n_remaining < 0
order by cohort, position
