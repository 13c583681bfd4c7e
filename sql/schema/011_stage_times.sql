-- Version 11: how long each stage took for an image, wall clock.
-- Null where it was not measured: older rows, imported ages, a stage that was spared.
alter table scores add column decode_s float;                       -- reading and decoding the file, s
alter table scores add column quality_s float;                      -- measuring the image's quality, s
alter table scores add column preprocess_s float;                   -- to the network's canvas, s
alter table scores add column forward_s float;                      -- its share of its batch's time, s
