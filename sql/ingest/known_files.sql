-- One row per candidate (registered as incoming) that was seen before, and whether it is as it was.
select
    incoming.number,
    files.rowid as file_row,
    coalesce(
        files.size_bytes = incoming.size_bytes
        and files.modified_ns = incoming.modified_ns
        and files.state != 'missing'
        and stale_inputs.input_id is null,
        false
    ) as unchanged
from incoming
inner join files on incoming.path_bytes = files.path_bytes
left join stale_inputs on files.input_id = stale_inputs.input_id
