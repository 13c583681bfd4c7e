-- Forgets corrected ages whose raw age is about to be written again.
delete from corrected_scores
where
    (sop_instance_uid, model_id, preprocessing_id) in (
        select
            incoming.sop_instance_uid,
            incoming.model_id,
            incoming.preprocessing_id
        from incoming
    )
