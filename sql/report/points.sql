-- One row per subject and cohort of an analysis, to scatter.
select
    cohort,
    age_years,
    spine_age_raw,
    spine_age_corrected,
    sex
from points
where run_id = $run_id
order by rowid
