-- Forgets the images read from paths that are about to be written again.
delete from images
where path_bytes in (select incoming.path_bytes from incoming)
