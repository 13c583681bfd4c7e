-- Forgets every outcome, before a follow-up table is read again.
delete from outcomes
