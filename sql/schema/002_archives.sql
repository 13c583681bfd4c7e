-- Version 2: archives, rules as data, a row for what is no longer there, facts about pixels.

-- One row per path seen at ingest; no index, so that a million of them stay small: ingest keeps paths unique.
create table files_of_any_state (
    path varchar not null,          -- the path; bytes that are not UTF-8 are backslash-escaped
    path_bytes blob not null,       -- the path as the file system has it; archive, NUL, member for a member
    archive_bytes blob,             -- path of the archive that holds it; null for a plain file
    size_bytes bigint not null,     -- size when last read; a member's own
    modified_ns bigint not null,    -- change when last read, ns since 1970; an archive's for members
    state varchar not null check (state in ('indexed', 'duplicate', 'excluded', 'rejected', 'missing')),
    reason varchar,                 -- reason code; null for indexed
    detail varchar,                 -- what was found, in words
    flags varchar[] not null,       -- flag codes of an indexed image
    sop_instance_uid varchar,       -- the image the path holds, where it could be read
    rule varchar,                   -- the eligibility rule that decided, where one did
    input_id bigint,                -- rule_inputs.input_id: what the rules were shown
    run_id bigint not null          -- the run that last read it
);

-- a modification time no file has: the next ingest reads every file again and fills the new columns
insert into files_of_any_state (
    path, path_bytes, size_bytes, modified_ns, state, reason, detail, flags, sop_instance_uid, run_id
)
select
    path,
    path_bytes,
    size_bytes,
    -1 as modified_ns,
    state,
    reason,
    detail,
    flags,
    sop_instance_uid,
    run_id
from files;

drop table files;

alter table files_of_any_state rename to files;

-- One row per distinct set of header texts that the eligibility rules look at.
create table rule_inputs (
    input_id bigint primary key,        -- 63 bits of the BLAKE2b of the texts
    modality varchar not null,          -- texts as decoded; empty where absent
    sop_class varchar not null,
    image_type varchar not null,
    presentation_intent varchar not null,
    view_position varchar not null,
    view_code varchar not null,
    body_part varchar not null,
    anatomic_region varchar not null,
    laterality varchar not null,
    patient_orientation varchar not null,
    protocol_name varchar not null,
    series_description varchar not null,
    study_description varchar not null,
    acquisition_description varchar not null,
    performed_procedure varchar not null,
    requested_procedure varchar not null,
    manufacturer varchar not null,
    manufacturer_model varchar not null,
    samples_per_pixel varchar not null,
    number_of_frames varchar not null,
    burned_in varchar not null
);

-- One row per image whose pixels were decoded, as its file was then.
create table pixel_facts (
    sop_instance_uid varchar primary key,   -- images.sop_instance_uid
    size_bytes bigint not null,             -- the file as it was when decoded
    modified_ns bigint not null,            -- the file as it was when decoded
    pixel_sha256 varchar,                   -- of size and stored values, whatever the transfer syntax
    contrast double,                        -- measures of image quality: docs/image-quality.md
    clipped_low_share double,
    clipped_high_share double,
    saturated_share double,
    collimated_share double,
    sharpness double,
    spine_likeness double,
    flags varchar[] not null,               -- flag codes, by the thresholds of the rules
    reason varchar,                         -- why it could not be decoded; null if it could
    detail varchar,                         -- what was found, in words
    run_id bigint not null                  -- the run that decoded it
);

alter table images add column manufacturer_raw varchar;             -- DICOM (0008,0070) as it stands
alter table images add column manufacturer_model_raw varchar;       -- DICOM (0008,1090) as it stands
alter table images add column software_versions varchar;            -- DICOM (0018,1020)
alter table images add column laterality varchar;                   -- DICOM (0020,0062), else (0020,0060)
alter table images add column spacing_source varchar;               -- the element spacing_mm is from
alter table images add column kvp double;                           -- DICOM (0018,0060), kV
alter table images add column exposure_mas double;                  -- DICOM (0018,1152), mAs
alter table images add column exposure_time_ms double;              -- DICOM (0018,1150)
alter table images add column tube_current_ma double;               -- DICOM (0018,1151)
alter table images add column source_detector_distance_mm double;   -- DICOM (0018,1110)
alter table images add column exposure_index double;                -- DICOM (0018,1411)

alter table scores add column input_sha256 varchar;                 -- of the image as the network took it
