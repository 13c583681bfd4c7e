"""The database: its own, locked by one, refusing what is newer; and the sandbox for conditions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from spinescore.errors import DatabaseError, DatabaseLockedError
from spinescore.shell.resources import resource
from spinescore.shell.warehouse import Sandbox, Warehouse, open_warehouse

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


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(pl.DataFrame({"kind": ["vfa", "radiograph"], "age_years": [70.0, 60.0]}))


def test_a_condition_selects(sandbox: Sandbox) -> None:
    assert sandbox.select("kind = 'vfa' and age_years >= 65", named="c").height == 1


@pytest.mark.parametrize(
    "where",
    [
        "1=1); drop table subject_images; --",
        "1=1) union select * from read_text('/etc/passwd') where (true",
        "age_years in (select size from read_blob('/etc/passwd'))",
        "agee > 3",
        "true); attach '/tmp/x.duckdb'; select (1",
        "exists (select 1 from duckdb_secrets()) or getenv('HOME') is null",
        "",
    ],
)
def test_anything_but_a_condition_is_refused_and_harms_nothing(where: str, sandbox: Sandbox) -> None:
    with pytest.raises(DatabaseError, match=r"cohorts\.x"):
        sandbox.select(where, named="cohorts.x")
    assert sandbox.select("true", named="c").height == 2


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
        assert warehouse.meta("schema_version") == "3"
        assert warehouse.table("rule_inputs").is_empty()
    assert files.select("path", "state", "flags", "sop_instance_uid").rows() == [
        ("/a.dcm", "indexed", ["landscape"], "1.2.3")
    ]
    assert files["modified_ns"].to_list() == [-1]  # no file has it, so the next ingest reads the file again
