-- One row per subject of the follow-up table without an image, and per subject of the images without a row in
-- that table, with the reason; where a linkage table is in force only it links.
with linkage as (
    select count(*) > 0 as in_force
    from subject_links
),

linked as (
    select distinct subject_id
    from subject_links
),

image_subjects as (
    select
        subject_id,
        count(*) as n_images
    from known_images
    where subject_id is not null
    group by subject_id
)

select
    'table' as side,
    subject_rows.subject_id,
    subject_rows.row_number,
    null as n_images,
    case
        when linkage.in_force and linked.subject_id is null then 'not in the linkage table'
        when linkage.in_force then 'no image of its patient ids'
        else 'no image of its id'
    end as reason
from subject_rows
cross join linkage
left join linked on subject_rows.subject_id = linked.subject_id
left join image_subjects on subject_rows.subject_id = image_subjects.subject_id
where image_subjects.subject_id is null
union all
select
    'images' as side,
    image_subjects.subject_id,
    null as row_number,
    image_subjects.n_images,
    case
        when linkage.in_force and linked.subject_id is null then 'not in the linkage table'
        when linkage.in_force then 'linked to an id that the follow-up table does not have'
        else 'not in the follow-up table'
    end as reason
from image_subjects
cross join linkage
left join subject_rows on image_subjects.subject_id = subject_rows.subject_id
left join linked on image_subjects.subject_id = linked.subject_id
where subject_rows.subject_id is null
order by side desc, row_number asc, subject_id asc
