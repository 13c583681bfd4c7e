-- One row: how much a database holds, and what runs after a given one made.
select
    (select coalesce(max(run_id), 0) from runs) as run_id,
    (select count(*) from images) as images,
    (
        select count(*) from images
        where run_id > $since
    ) as images_read,
    (select count(*) from scores) as scores,
    (
        select count(*) from scores
        where run_id > $since
    ) as scores_made,
    (
        select count(*) from score_failures
        where run_id > $since
    ) as scores_failed
