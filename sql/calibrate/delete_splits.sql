-- Forgets every subject's part, before parts are assigned again.
delete from splits
