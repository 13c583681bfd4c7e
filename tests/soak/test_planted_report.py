"""A whole run over planted identifiers: none in database, reports, exports, logs or what was said."""

from __future__ import annotations

import stat

import duckdb
import pytest

from spinescore.shell.identifier_scan import read_texts
from tests.reliability.conftest import Offline
from tests.reliability.planted import BIRTH_DAY, MARK, Planted, plant_archive, planted_in

N_SUBJECTS = 90
STUDY = """[study]
title = "Planted"
database = "cohort.duckdb"
output = "report"
synthetic = true
[images]
sources = ["archive"]
[model]
bundle = "demo"
[correction]
method = "none"
[subjects]
file = "follow-up.csv"
id = "subject_id"
[cohorts.All]
where = "kind = 'radiograph'"
[endpoints.death]
type = "survival"
event = "death"
time = "death_years"
time_origin = "image"
[models]
"Model 1" = ["age", "sex"]
[analysis]
primary = { cohort = "All", endpoint = "death", model = "Model 1" }
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    offline = Offline(folder, tmp_path_factory.mktemp("planted-home"))
    plant_archive(folder, N_SUBJECTS, STUDY)
    said = [offline.start("run", "study.toml", "--json", "--log", "runs.jsonl", "--summary", "run.json")]
    said += [
        offline.start(*words.split())
        for words in (
            "trace study.toml --json",
            "scores export scores.csv -d cohort.duckdb",
            "runs show 1 -d cohort.duckdb --json",
            "status -d cohort.duckdb --list rejected --json",
            "backup -d cohort.duckdb --to backup.duckdb",
        )
    ]
    assert [ended.returncode for ended in said] == [3, 0, 0, 0, 0, 0], [e.stderr + e.stdout for e in said]
    return Planted(offline, [ended.stdout + ended.stderr for ended in said])


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


def test_reports_tables_figures_and_logs_hold_none(planted: Planted) -> None:
    places = [planted.folder / "report", planted.folder / "scores.csv", planted.offline.home]
    files = [f for place in places for f in ([place] if place.is_file() else place.rglob("*")) if f.is_file()]
    files += planted.folder.glob("*.json*")
    seen = {f.suffix for f in files}
    assert {".html", ".pdf", ".json", ".csv", ".parquet", ".svg"} <= seen
    readable = [f for f in files if f.suffix not in (".png", ".bin", ".xml", ".key")]
    assert {str(f): found for f in readable if (found := planted_in(read_texts(f)))} == {}


def test_every_file_made_is_its_owners_alone(planted: Planted) -> None:
    given = {"archive", "follow-up.csv", "study.toml", "sitecustomize.py"}
    made = [p for p in planted.folder.iterdir() if p.name not in given]
    made += [p for p in planted.offline.home.iterdir() if p.name != "cache"]
    files = [f for p in made for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    assert len(files) > 10
    assert {str(f): oct(f.stat().st_mode) for f in files if stat.S_IMODE(f.stat().st_mode) & 0o077} == {}


def test_the_key_is_in_its_file_and_nowhere_else(planted: Planted) -> None:
    key = (planted.offline.home / "pseudonym.key").read_text().strip()
    assert len(bytes.fromhex(key)) == 32
    files = [f for f in planted.folder.rglob("*") if f.is_file() and "archive" not in f.parts]
    for content in (*(f.read_bytes() for f in files), *(said.encode() for said in planted.said)):
        assert key.encode() not in content
        assert bytes.fromhex(key) not in content
