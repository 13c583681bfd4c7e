-- One row: how many runs have no outcome.
select count(*) as n_unfinished
from runs
where outcome is null
