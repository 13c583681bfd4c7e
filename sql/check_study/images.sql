-- One row: how many images are indexed, and how many of all ages this model has scores for.
select
    (select count(*) from images) as images,
    (
        select count(*)
        from scores
        where model_id = $model_id and preprocessing_id = $preprocessing_id
    ) as scored
