-- One row per identifier or place of an image or subject that no output may hold.
with every_identifier as (
    select
        sop_instance_uid as identifier,
        'image UID' as kind
    from images
    union all
    select
        study_instance_uid,
        'study UID' as kind
    from images
    union all
    select
        series_instance_uid,
        'series UID' as kind
    from images
    union all
    select
        subject_id,
        'subject id' as kind
    from images
    union all
    select
        subject_id,
        'subject id' as kind
    from subject_rows
    union all
    select
        image_subject_id,
        'subject id' as kind
    from subject_links
    union all
    select
        subject_id,
        'subject id' as kind
    from unmatched
    union all
    select
        sop_instance_uid,
        'image UID' as kind
    from files
    union all
    select
        path as whole,
        'path' as kind
    from files
    union all
    select
        regexp_extract(path, '[^/\\]+$') as file_name,
        'file name' as kind
    from files
)

select distinct
    identifier,
    kind
from every_identifier
where identifier is not null and identifier <> ''
