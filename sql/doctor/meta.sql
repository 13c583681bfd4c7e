-- One row per fact about the database: schema version, mode of identifiers, fingerprint of the key.
select
    key,
    value
from meta
