-- One row per score whose image is not there. An image that a changed file no longer holds leaves its score
-- behind, which no query reads; but a score was imported with its row, and an indexed file with its image.
select
    'score without its image' as fault,
    scores.rowid as row_id
from scores
left join images on scores.sop_instance_uid = images.sop_instance_uid
where
    images.sop_instance_uid is null
    and (
        scores.preprocessing_id = 'imported'
        or scores.sop_instance_uid in (
            select files.sop_instance_uid
            from files
            where files.state = 'indexed'
        )
    )
union all
select
    'corrected without a score' as fault,
    corrected_scores.rowid as row_id
from corrected_scores
left join scores
    on
        corrected_scores.sop_instance_uid = scores.sop_instance_uid
        and corrected_scores.model_id = scores.model_id
        and corrected_scores.preprocessing_id = scores.preprocessing_id
where scores.sop_instance_uid is null
order by fault, row_id
