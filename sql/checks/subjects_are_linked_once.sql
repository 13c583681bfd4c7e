-- One row per patient id linked to two subjects, subject with two rows of the follow-up table or two
-- outcomes of one endpoint, outcome of nobody, or image told two things about sex and age.
select
    'patient id of two subjects' as fault,
    image_subject_id as subject_id
from subject_links
group by image_subject_id
having count(*) > 1
union all
select
    'two rows of the follow-up table' as fault,
    subject_id
from subject_rows
group by subject_id
having count(*) > 1
union all
select
    'two outcomes of one endpoint' as fault,
    subject_id
from outcomes
group by subject_id, endpoint
having count(*) > 1
union all
select
    'outcome of nobody' as fault,
    outcomes.subject_id
from outcomes
left join subject_rows on outcomes.subject_id = subject_rows.subject_id
where subject_rows.subject_id is null
union all
select
    'sex and age told twice' as fault,
    images.subject_id
from table_facts
inner join images on table_facts.sop_instance_uid = images.sop_instance_uid
group by table_facts.sop_instance_uid, images.subject_id
having count(*) > 1
order by fault, subject_id
