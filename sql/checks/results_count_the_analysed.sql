-- One row per result of an analysis whose n is not what is left at the end of its attrition.
with ends as (
    select
        cohort,
        endpoint,
        arg_max(n_remaining, position) as n_subjects
    from attrition
    where run_id = $run_id and coalesce(unit, '') <> 'table rows'
    group by cohort, endpoint
),

counted as (
    select
        cohort,
        endpoint,
        analysis,
        n
    from results
    where
        run_id = $run_id
        and analysis = 'incidence'
        and "group" is null
        and subgroup is null
    union all
    select
        cohort,
        case when term = 'subjects' then null else term end as endpoint,
        analysis,
        n
    from results
    where
        run_id = $run_id
        and analysis = 'table_one'
        and statistic = 'n'
        and "group" = 'overall'
        and subgroup is null
)

select
    counted.cohort,
    counted.endpoint,
    counted.analysis,
    counted.n,
    ends.n_subjects
from counted
inner join ends
    on
        counted.cohort = ends.cohort
        and counted.endpoint is not distinct from ends.endpoint
where counted.n is distinct from ends.n_subjects
order by counted.cohort, counted.endpoint
