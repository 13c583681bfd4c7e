-- Forgets the paths that are about to be written again.
delete from files
where path_bytes in (select incoming.path_bytes from incoming)
