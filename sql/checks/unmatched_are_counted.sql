-- One row per cohort of an analysis that counts other subjects without an image than are listed.
select
    attrition.cohort,
    sum(attrition.n_excluded) as n_counted,
    (
        select count(*)
        from unmatched
        where unmatched.run_id = $run_id and unmatched.side = 'table'
    ) as n_listed
from attrition
where attrition.run_id = $run_id and attrition.step = 'with an image'
group by attrition.cohort
having n_counted <> n_listed
order by attrition.cohort
