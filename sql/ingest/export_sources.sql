-- One row per list of sources that was ever ingested.
select distinct arguments
from runs
where command = 'ingest'
order by arguments
