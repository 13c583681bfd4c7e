-- One row: what tells whether images came or changed since.
select
    count(*) as n_images,
    coalesce(max(run_id), 0) as latest_run
from images
