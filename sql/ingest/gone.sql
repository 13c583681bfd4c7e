-- One row per known path below the roots that this look did not see (its file_rows: incoming).
select
    files.path_bytes,
    files.sop_instance_uid
from files
inner join roots on files.path_bytes >= roots.lower and files.path_bytes < roots.upper
left join unlisted on files.path_bytes >= unlisted.lower and files.path_bytes < unlisted.upper
where
    files.state != 'missing'
    and unlisted.lower is null
    and files.rowid not in (select incoming.file_row from incoming)
    and (
        files.archive_bytes is null
        or files.archive_bytes not in (select kept_archives.path_bytes from kept_archives)
    )
order by files.path_bytes
