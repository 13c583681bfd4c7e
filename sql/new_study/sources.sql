-- One row per source that was ever read into the database, in the order of the first time.
with named as (
    select
        run_id,
        unnest(from_json(arguments -> 'sources', '["varchar"]')) as place
    from runs
    where command = 'ingest'
)

select place
from named
group by place
order by min(run_id), place
