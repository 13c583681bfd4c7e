"""Identifiers planted in headers and tables are in no database, log, report, message or crash of spinescore."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.errors import TableError
from tests.reliability.conftest import SITECUSTOMIZE, Offline
from tests.reliability.planted import BIRTH_DAY, MARK, Planted, mark, plant_archive, planted_in

RUNNER = CliRunner()
N_SUBJECTS = 5
STUDY = """[study]
title = "Planted"
database = "cohort.duckdb"
output = "report"
[images]
sources = ["archive"]
[subjects]
file = "follow-up.csv"
id = "subject_id"
[endpoints.death]
type = "survival"
event = "death"
time = "death_years"
time_origin = "image"
"""
# Breaks the reading of a header in the middle of it, with everything it holds in the message.
BREAKING = """
import spinescore.core.imaging.header as header
def read(self, elements, *_):
    raise RuntimeError(f"unforeseen: {elements!r}")
header.HeaderReader.read = read
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    offline = Offline(folder, tmp_path_factory.mktemp("planted-home"))
    plant_archive(folder, N_SUBJECTS, STUDY)
    said = [
        offline.run(
            "ingest", "archive", "-d", "cohort.duckdb", "--pixels", "--list", "rejected", "--json", status=3
        ),
        offline.run("outcomes", "import", "study.toml", "--json"),
    ]
    return Planted(offline, [ended.stdout + ended.stderr for ended in said])


def test_what_is_planted_is_there_to_be_found(planted: Planted) -> None:
    first = (planted.folder / "archive" / "0000.dcm").read_bytes()
    assert first.count(MARK.encode()) > 20
    assert BIRTH_DAY in (planted.folder / "follow-up.csv").read_text()
    assert planted_in([f"<p>{mark('PID', 1)}"]) != []


def test_the_database_holds_none(planted: Planted) -> None:
    """Not even in a page that a deleted row left behind."""
    database = planted.folder / "cohort.duckdb"
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
        texts = [str(connection.sql(f'select * from "{table}"').fetchall()) for table in tables]
    assert len(tables) > 15
    assert planted_in(texts) == []
    content = database.read_bytes()
    assert MARK.encode() not in content
    assert BIRTH_DAY.encode() not in content


def test_nothing_that_was_said_holds_any(planted: Planted) -> None:
    assert planted_in(planted.said) == []


def test_every_file_made_is_its_owners_alone(planted: Planted) -> None:
    given = {"archive", "follow-up.csv", "study.toml", "sitecustomize.py"}
    made = [p for p in planted.folder.iterdir() if p.name not in given]
    made += [p for p in planted.offline.home.iterdir() if p.name != "cache"]
    files = [f for p in made for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    assert len(files) >= 2
    assert {str(f): oct(f.stat().st_mode) for f in files if stat.S_IMODE(f.stat().st_mode) & 0o077} == {}


def test_the_key_is_in_its_file_and_nowhere_else(planted: Planted) -> None:
    key = (planted.offline.home / "pseudonym.key").read_text().strip()
    assert len(bytes.fromhex(key)) == 32
    files = [f for f in planted.folder.rglob("*") if f.is_file() and "archive" not in f.parts]
    for content in (*(f.read_bytes() for f in files), *(said.encode() for said in planted.said)):
        assert key.encode() not in content
        assert bytes.fromhex(key) not in content


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = "subject_id"', 'id = "name"'),  # ids that are none of the images'
        ('time = "death_years"', 'time = "address"'),
        ('event = "death"', 'event = "insurance"'),
        ('id = "subject_id"', 'id = "subject_id"\nbirth_date = "born"'),
        ('id = "subject_id"', 'id = "subject_id"\nsex = "name"'),
    ],
)
def test_what_is_wrong_with_a_table_is_said_without_its_cells(
    planted: Planted, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(planted.offline.home))
    study = planted.folder / "wrong.toml"
    study.write_text(STUDY.replace(old, new, 1))
    ended = RUNNER.invoke(app, ["outcomes", "import", str(study)])
    assert isinstance(ended.exception, TableError)
    assert "follow-up.csv" in str(ended.exception)
    assert planted_in([ended.output, str(ended.exception)]) == []


def test_a_crash_says_where_and_nothing_that_it_read(planted: Planted, tmp_path: Path) -> None:
    """A fault of ours, while a planted file is being read, whose message holds all of the header."""
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE + BREAKING)
    broken = Offline(tmp_path, planted.offline.home)
    one = planted.folder / "archive" / "0000.dcm"
    explained = broken.run("ingest", "--explain", str(one), status=1)
    assert "spinescore broke (RuntimeError)" in explained.stderr
    assert "spinescore/shell/indexing/intake.py:" in explained.stderr
    indexed = broken.run("ingest", str(one), "-d", "crash.duckdb", "--list", "rejected", status=3)
    assert planted_in([explained.stdout, explained.stderr, indexed.stdout, indexed.stderr]) == []
    assert MARK.encode() not in (tmp_path / "crash.duckdb").read_bytes()


def test_the_whole_error_is_there_for_who_asks(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BREAKING)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "SPINESCORE_DEBUG": "1"}
    command = [
        sys.executable,
        "-m",
        "spinescore",
        "ingest",
        "--explain",
        str(planted.folder / "archive" / "0000.dcm"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 1
    assert MARK in ended.stderr
