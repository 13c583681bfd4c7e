-- One row: the latest run of a command that changed anything, if it was on the same input.
with latest as (
    select
        run_id,
        input_sha256
    from runs
    where
        command = $command
        and outcome in ('done', 'partial')
    order by run_id desc
    limit 1
)

select run_id
from latest
where input_sha256 = $input_sha256
