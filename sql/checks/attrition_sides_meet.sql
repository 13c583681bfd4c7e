-- One row per cohort of an analysis that counts other subjects from the follow-up table than from the images.
with of_table as (
    select
        cohort,
        arg_max(n_remaining, position) as n_subjects
    from attrition
    where run_id = $run_id and unit = 'table rows'
    group by cohort
),

of_images as (
    select
        cohort,
        arg_max(n_remaining, position) as n_subjects
    from attrition
    where run_id = $run_id and step in ('one index image per subject', 'one index age per subject')
    group by cohort
)

select
    of_table.cohort,
    of_table.n_subjects as n_of_table,
    of_images.n_subjects as n_of_images
from of_table
left join of_images on of_table.cohort = of_images.cohort
where of_table.n_subjects is distinct from of_images.n_subjects
order by of_table.cohort
