-- One row per set of header texts and outcome of the files that have it.
select distinct
    files.input_id,
    files.state,
    files.reason,
    files.rule,
    images.kind
from files
left join images on files.path_bytes = images.path_bytes
where files.input_id is not null
order by files.input_id
