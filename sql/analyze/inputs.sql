-- One row: the latest run behind each table that an analysis reads.
select
    (select coalesce(max(run_id), 0) from files) as files,
    (
        select coalesce(max(run_id), 0)
        from images
        where path_bytes is not null -- imported rows come and go with their own scores
    ) as images,
    (
        select coalesce(max(run_id), 0)
        from scores
        where model_id = $model_id and preprocessing_id = $preprocessing_id
    ) as scores,
    (
        select coalesce(max(run_id), 0)
        from score_failures
        where model_id = $model_id and preprocessing_id = $preprocessing_id
    ) as failures,
    (
        select coalesce(max(run_id), 0)
        from corrected_scores
        where model_id = $model_id
    ) as corrected,
    (
        select coalesce(max(run_id), 0)
        from corrections
        where model_id = $model_id
    ) as corrections,
    (select coalesce(max(run_id), 0) from subject_rows) as outcomes
