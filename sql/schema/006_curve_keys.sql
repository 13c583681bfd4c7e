-- Version 6: a line has the keys of the results it belongs to.

alter table curves add column if not exists model varchar;          -- of the study file
alter table curves add column if not exists sample varchar;         -- own_n or common_n
alter table curves add column if not exists variant varchar;        -- as in results
alter table curves add column if not exists validation varchar;     -- as in results
alter table curves add column if not exists comparator varchar;     -- what y is relative to
alter table curves add column if not exists term varchar;           -- a coefficient
alter table curves add column if not exists subgroup varchar;       -- name=level
alter table curves add column if not exists horizon_years double;   -- when risk is read off
