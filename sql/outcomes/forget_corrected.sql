-- One row per corrected age of an image whose age by the follow-up table (registered as facts) has changed
-- goes: it was computed with the old one.
delete from corrected_scores
where sop_instance_uid in (
    select coalesce(table_facts.sop_instance_uid, facts.sop_instance_uid)
    from table_facts
    full join facts on table_facts.sop_instance_uid = facts.sop_instance_uid
    where table_facts.age_years is distinct from facts.age_years
)
