-- One row per path that eligibility rules decided on, and how; a broken image counts as eligible.
select
    files.path,
    files.input_id,
    case
        when files.state = 'excluded' then concat('excluded: ', files.reason)
        when images.kind is not null then concat('eligible: ', images.kind)
        else 'eligible: unread'
    end as decided_before
from files
left join images on files.sop_instance_uid = images.sop_instance_uid
where
    files.input_id is not null
    or files.state in ('indexed', 'duplicate')
order by files.path
