"""backup and vacuum: a whole copy that opens, room given back, nothing lost where it cannot be done."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.errors import DatabaseError, DatabaseLockedError
from spinescore.shell.resources import resource as resource_file
from spinescore.shell.warehouse import SCHEMA_VERSION, open_warehouse
from spinescore.upkeep import back_up, vacuum

N = 60_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database most of whose rows were deleted again."""
    path = tmp_path / "co'hort.duckdb"
    rows = pl.DataFrame({"run_id": range(1, N + 1), "command": "ingest", "version": "0"}).with_columns(
        pl.lit("{}").alias("arguments"),
        pl.col("run_id").cast(pl.String).str.pad_start(32, "x").alias("input_sha256"),
        pl.lit(0).cast(pl.Datetime("us")).alias("started_at"),
    )
    with open_warehouse(path, create=True) as warehouse:
        warehouse.append("runs", rows)
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from runs where run_id > 10")
    return path


def ids(path: Path) -> list[int]:
    with open_warehouse(path) as warehouse:
        return warehouse.table("runs")["run_id"].to_list()


def schema(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(
            "select table_name, sql from duckdb_tables() union all "
            "select view_name, sql from duckdb_views() where not internal order by all"
        ).fetchall()


def test_a_backup_is_whole_private_and_opens_as_it_is(database: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    copied = back_up(database, tmp_path / "kept")
    assert copied.path == tmp_path / "kept" / database.name
    assert ids(copied.path) == ids(database) == list(range(1, 11))
    assert schema(copied.path) == schema(database)
    assert copied.path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path / "kept")) == [database.name]


def test_a_backup_overwrites_only_when_told_and_never_the_database(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.duckdb"
    target.write_text("precious")
    with pytest.raises(DatabaseError, match="is there already"):
        back_up(database, target)
    assert target.read_text() == "precious"
    with pytest.raises(DatabaseError, match="the database itself"):
        back_up(database, database, replace=True)
    with pytest.raises(DatabaseError, match="no folder"):
        back_up(database, tmp_path / "no" / "where.duckdb")
    back_up(database, target, replace=True)
    assert ids(target) == ids(database)


def test_vacuum_gives_back_room_and_keeps_the_rest(database: Path) -> None:
    before = schema(database)
    database.chmod(0o640)
    copied = vacuum(database)
    assert copied.bytes_after < 0.6 * copied.bytes_before  # some 1.3 MB are the empty tables
    assert database.stat().st_size == copied.bytes_after
    assert database.stat().st_mode & 0o777 == 0o640
    assert ids(database) == list(range(1, 11))
    assert schema(database) == before
    assert os.listdir(database.parent) == [database.name]


@pytest.fixture
def little_room() -> Iterator[None]:
    """Let this process write no file beyond 16 KiB, as a full disk would."""
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    earlier = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, earlier)


def test_without_room_the_database_stays_as_it_was(database: Path, little_room: None) -> None:
    before = database.read_bytes()
    for copy in (lambda: vacuum(database), lambda: back_up(database, database.with_name("copy.duckdb"))):
        with pytest.raises(DatabaseError, match="cannot be written"):
            copy()
    assert database.read_bytes() == before
    assert os.listdir(database.parent) == [database.name]


def test_a_database_in_use_is_left_alone(database: Path, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()",
            database,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(DatabaseLockedError, match=str(holder.pid)):
            vacuum(database)
        with pytest.raises(DatabaseLockedError):
            back_up(database, tmp_path / "copy.duckdb")
    finally:
        holder.communicate(b"\n")
    assert not (tmp_path / "copy.duckdb").exists()


def test_a_migration_keeps_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "c.duckdb"
    with duckdb.connect(str(path)) as old:
        old.execute(resource_file("sql", "schema").joinpath("001_initial.sql").read_text(encoding="utf-8"))
        old.execute("insert into meta values ('schema_version', '1'), ('kept', 'yes')")
    with open_warehouse(path) as warehouse:
        assert warehouse.meta("schema_version") == str(SCHEMA_VERSION)
    with duckdb.connect(str(tmp_path / "c.schema-1.duckdb"), read_only=True) as kept:
        facts = dict(kept.execute("select key, value from meta").fetchall())
    assert (facts["schema_version"], facts["kept"]) == ("1", "yes")


def test_the_commands_say_what_they_did(database: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    told = runner.invoke(app, ["backup", "-d", str(database), "--to", str(tmp_path / "b.duckdb")])
    assert told.exit_code == 0, told.output
    assert "pseudonym.key" in told.output.replace("\n", "")
    shrunk = json.loads(runner.invoke(app, ["vacuum", "-d", str(database), "--json"]).output)
    assert shrunk["bytes_after"] < shrunk["bytes_before"]
