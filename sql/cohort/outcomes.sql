-- One row per subject and endpoint, with the subject's row in the follow-up table.
select
    outcomes.subject_id,
    outcomes.endpoint,
    outcomes.event,
    outcomes.time_years,
    outcomes.entry_years,
    outcomes.event_date,
    outcomes.end_date,
    outcomes.origin_date,
    outcomes.entry_date,
    subject_rows.row_number
from outcomes
left join subject_rows on outcomes.subject_id = subject_rows.subject_id
where outcomes.endpoint in ($endpoint, $competing)
