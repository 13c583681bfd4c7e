-- Version 3: ages computed elsewhere are rows of images and scores, without what only an image has.

alter table images alter column photometric drop not null;
alter table images alter column transfer_syntax drop not null;
alter table images alter column rows drop not null;
alter table images alter column columns drop not null;
alter table images alter column bits_stored drop not null;
alter table images alter column eligibility_rule drop not null;
alter table images alter column path_bytes drop not null; -- null: there is no image in the house
alter table images alter column size_bytes drop not null;
alter table images alter column modified_ns drop not null;

alter table scores alter column spine_age_sd drop not null;
alter table scores alter column age_distribution drop not null;
alter table scores alter column pixel_sha256 drop not null;
alter table scores alter column device drop not null;
alter table scores alter column precision drop not null;
alter table scores alter column size_bytes drop not null;
alter table scores alter column modified_ns drop not null;
