-- One row per flag of indexed images, from headers and from pixels.
with flagged as (
    select unnest(files.flags) as flag
    from files
    where files.state = 'indexed'
    union all
    select unnest(pixel_facts.flags) as flag
    from pixel_facts
    inner join images on pixel_facts.sop_instance_uid = images.sop_instance_uid
)

select
    flag,
    count(*) as n
from flagged
group by flag
order by n desc, flag asc
