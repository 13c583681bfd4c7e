-- One row per run, at its start.
insert into runs (run_id, command, arguments, version, model_id, input_sha256, started_at)
values ($run_id, $command, $arguments, $version, $model_id, $input_sha256, $started_at)
