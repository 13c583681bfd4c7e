"""The database: its own, locked by one, refusing what is newer."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from spinescore.errors import DatabaseError, DatabaseLockedError
from spinescore.shell.resources import resource
from spinescore.shell.warehouse import Warehouse, open_warehouse

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"


def test_a_database_in_use_names_its_holder(database: Path) -> None:
    open_warehouse(database, create=True).__exit__()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(DatabaseLockedError, match=str(holder.pid)) as caught:
            open_warehouse(database)
        holder.communicate("\n")
    assert caught.value.exit_status == 5


def test_a_missing_database_is_not_made_by_reading(database: Path) -> None:
    with pytest.raises(DatabaseError, match="No database"):
        open_warehouse(database)
    assert not database.exists()


@pytest.mark.parametrize("content", [b"not a database at all", b""])
def test_a_file_that_is_no_database_is_left_as_it_is(content: bytes, database: Path) -> None:
    database.write_bytes(content or b"\0" * 5000)
    before = database.read_bytes()
    with pytest.raises(DatabaseError):
        open_warehouse(database)
    assert database.read_bytes() == before


def test_somebody_elses_duckdb_is_refused(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("create table theirs (a integer)")
    with pytest.raises(DatabaseError, match="not spinescore's"):
        open_warehouse(database)


def test_a_newer_schema_is_refused(database: Path) -> None:
    with open_warehouse(database, create=True) as warehouse:
        warehouse.set_meta("schema_version", "999")
    with pytest.raises(DatabaseError, match=r"schema 999.*Upgrade"):
        open_warehouse(database)


def write_in_one_transaction(warehouse: Warehouse, *parts: pl.DataFrame) -> None:
    with warehouse.transaction():
        for part in parts:
            warehouse.append("splits", part)


def test_a_failed_transaction_leaves_nothing(database: Path) -> None:
    row = pl.DataFrame({"subject_id": ["a"], "kind": ["vfa"], "split": ["test"], "seed": [1]})
    other = row.with_columns(pl.lit("b").alias("subject_id"))
    with open_warehouse(database, create=True) as warehouse:
        with pytest.raises(duckdb.Error):
            write_in_one_transaction(warehouse, other, row, row)
        assert warehouse.table("splits").is_empty()


def test_a_killed_run_has_no_outcome_and_a_failed_one_says_so(database: Path) -> None:
    with open_warehouse(database, create=True) as warehouse:
        with pytest.raises(RuntimeError), warehouse.run("ingest", {}):
            raise RuntimeError("stop")
        assert warehouse.table("runs")["outcome"].to_list() == ["failed"]


def test_a_last_run_is_only_the_latest_one(database: Path) -> None:
    with open_warehouse(database, create=True) as warehouse:
        for fingerprint in ("a", "b"):
            with warehouse.run("analyze", {}, input_sha256=fingerprint):
                pass
        assert warehouse.last_run("analyze", "b") == 2
        assert warehouse.last_run("analyze", "a") is None


def test_a_database_of_the_first_schema_is_carried_over_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as old:
        old.execute(resource("sql", "schema").joinpath("001_initial.sql").read_text(encoding="utf-8"))
        old.execute("insert into meta values ('schema_version', '1')")
        old.execute(
            "insert into files values ('/a.dcm', '/a.dcm'::blob, 10, 20, 'indexed', null, null, ['landscape'], '1.2.3', 1)"
        )
    with open_warehouse(path) as warehouse:
        files = warehouse.table("files")
        assert warehouse.meta("schema_version") == "11"
        assert warehouse.table("rule_inputs").is_empty()
    assert files.select("path", "state", "flags", "sop_instance_uid").rows() == [
        ("/a.dcm", "indexed", ["landscape"], "1.2.3")
    ]
    assert files["modified_ns"].to_list() == [-1]  # no file has it, so the next ingest reads the file again


def test_a_database_of_the_third_schema_keeps_its_outcomes_and_images(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as old:
        for name in ("001_initial", "002_archives", "003_imported_scores"):
            old.execute(resource("sql", "schema").joinpath(f"{name}.sql").read_text(encoding="utf-8"))
        old.execute("insert into meta values ('schema_version', '3')")
        old.execute("insert into outcomes values ('a', 'death', 'survival', 1, 2.5, null, null, null, 7)")
        old.execute(
            "insert into images (sop_instance_uid, subject_id, kind, sex, age_years, synthetic, run_id) "
            "values ('1.2', 'a', 'vfa', 'F', 60, false, 1)"
        )
    with open_warehouse(path) as warehouse:
        outcomes, images = warehouse.table("outcomes"), warehouse.table("known_images")
    assert outcomes.select(
        "subject_id", "endpoint", "event", "time_years", "origin_date", "run_id"
    ).rows() == [("a", "death", 1, 2.5, None, 7)]
    assert images.select("subject_id", "image_subject_id", "sex", "age_years", "age_from_table").rows() == [
        ("a", "a", "F", 60.0, False)
    ]


def test_a_log_left_from_another_database_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "cohort.duckdb"
    open_warehouse(path, create=True).__exit__()
    with duckdb.connect(str(path)) as connection:
        connection.execute("update meta set value = '2' where key = 'schema_version'")
    with pytest.raises(DatabaseError, match="does not hold what its schema 2 should") as caught:
        open_warehouse(path)
    assert "cohort.duckdb.wal" in caught.value.next_step


def test_the_log_beside_it_is_its_owners_alone_and_the_umask_comes_back(database: Path) -> None:
    before = os.umask(0o022)
    try:
        with open_warehouse(database, create=True) as warehouse:
            warehouse.checkpoint()
            warehouse.set_meta("fact", "after the log was begun anew")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in database.parent.iterdir()}
        with pytest.raises(DatabaseError):
            open_warehouse(database.with_name("missing.duckdb"))
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert modes == {database.name: 0o600, f"{database.name}.wal": 0o600}
