-- One row per pair of images of one subject and day of an analysis, to draw.
select
    cohort,
    kind,
    spine_age_mean,
    spine_age_difference
from repeats
where run_id = $run_id
order by rowid
