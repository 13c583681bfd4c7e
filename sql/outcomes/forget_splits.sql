-- Every part goes if patient ids are other subjects (registered as links) than before: subjects have parts.
with earlier as (
    select
        image_subject_id,
        subject_id
    from subject_links
),

changed as (
    select earlier.image_subject_id
    from earlier
    full join links
        on
            earlier.image_subject_id = links.image_subject_id
            and earlier.subject_id = links.subject_id
    where earlier.subject_id is null or links.subject_id is null
)

delete from splits
where exists (select 1 from changed)
