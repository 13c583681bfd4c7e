-- One row: the latest finished analysis of a study, by its title.
select run_id
from runs
where
    command = 'analyze'
    and outcome in ('done', 'partial')
    and arguments ->> '$.study' = $title
order by run_id desc
limit 1
