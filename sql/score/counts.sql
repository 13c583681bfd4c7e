-- One row: how many images this model has scored and failed.
select
    (
        select count(*)
        from scores
        where model_id = $model_id and preprocessing_id = $preprocessing_id
    ) as scored,
    (
        select count(*)
        from score_failures
        where model_id = $model_id and preprocessing_id = $preprocessing_id
    ) as failed
