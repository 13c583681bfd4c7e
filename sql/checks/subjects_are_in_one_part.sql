-- One row per subject and kind of image whose patient ids were put in several parts, or whom the network saw
-- in training and who is elsewhere too.
with parts as (
    select
        splits.kind,
        splits.split,
        coalesce(subject_links.subject_id, splits.subject_id) as subject_id
    from splits
    left join subject_links on splits.subject_id = subject_links.image_subject_id
)

select
    subject_id,
    kind,
    count(distinct split) as n_parts
from parts
group by subject_id, kind
having count(distinct split) > 1
union all
select
    subject_id,
    'any' as kind,
    count(distinct split) as n_parts
from parts
group by subject_id
having bool_or(split in ('train', 'validation')) and count(distinct split) > 1
order by subject_id, kind
