-- Forgets failures that are about to be tried or written again.
delete from score_failures
where
    (sop_instance_uid, model_id, preprocessing_id) in (
        select
            incoming.sop_instance_uid,
            incoming.model_id,
            incoming.preprocessing_id
        from incoming
    )
