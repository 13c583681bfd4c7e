-- Forgets corrections that are about to be written again.
delete from corrections
where correction_id in (select incoming.correction_id from incoming)
