-- One row per run, at its end.
update runs
set
    ended_at = $ended_at,
    outcome = $outcome,
    counts = $counts
where run_id = $run_id
