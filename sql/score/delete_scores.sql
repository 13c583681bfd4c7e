-- Forgets what is about to be written again: stale scores and all that was derived from them.
delete from scores
where
    (sop_instance_uid, model_id, preprocessing_id) in (
        select
            incoming.sop_instance_uid,
            incoming.model_id,
            incoming.preprocessing_id
        from incoming
    )
