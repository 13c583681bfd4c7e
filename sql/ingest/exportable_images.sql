-- One row per indexed image, with what its de-identified copy is derived from.
select
    images.sop_instance_uid,
    images.study_instance_uid,
    images.series_instance_uid,
    images.subject_id,
    images.kind,
    images.age_years,
    images.path_bytes,
    images.size_bytes,
    images.modified_ns
from images
inner join files on images.path_bytes = files.path_bytes
where files.state = 'indexed'
order by images.path_bytes
