-- One row: everything recorded of a run, and what is still there of it.
select
    runs.run_id,
    runs.command,
    runs.arguments,
    runs.version,
    runs.model_id,
    runs.input_sha256,
    runs.started_at,
    runs.ended_at,
    runs.outcome,
    runs.counts,
    (
        select count(*) from files
        where files.run_id = runs.run_id
    ) as files_last_read,
    (
        select count(*) from images
        where images.run_id = runs.run_id
    ) as images_indexed,
    (
        select count(*) from scores
        where scores.run_id = runs.run_id
    ) as scores_made,
    (
        select count(*) from score_failures
        where score_failures.run_id = runs.run_id
    ) as scores_failed,
    (
        select count(*) from corrections
        where corrections.run_id = runs.run_id
    ) as corrections_fitted,
    (
        select count(*) from results
        where results.run_id = runs.run_id
    ) as results_computed
from runs
where runs.run_id = $run_id
