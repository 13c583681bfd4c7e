"""Conditions of a study file read the rows they are about, and nothing else; nor do they take for ever."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from spinescore.errors import DatabaseError
from spinescore.shell.sandbox import Sandbox

ROWS = pl.DataFrame(
    {
        "subject_id": ["a", "a", "b"],
        "kind": ["vfa", "radiograph", None],
        "age_years": [70.0, 60.0, None],
        "DXA T-score": [-2.5, None, 1.0],
    }
)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(ROWS, time_limit_s=2)


@pytest.mark.parametrize(
    ("where", "answers"),
    [
        ("kind = 'vfa' and age_years >= 65", [True, False, None]),
        ("age_years > 65 or kind is null", [True, False, True]),
        ('"dxa t-score" < -1', [True, None, False]),
        ("coalesce(age_years, 0) < 65", [False, True, True]),
        ("1 = 1 -- a remark", [True, True, True]),
        ("true /* a remark */", [True, True, True]),
        ("subject_id in (select subject_id from subject_images where kind = 'vfa')", [True, True, False]),
        ("1", [True, True, True]),
    ],
)
def test_a_condition_is_true_false_or_unknown_for_each_row(
    where: str, answers: list[bool | None], sandbox: Sandbox
) -> None:
    assert sandbox.judge(where, named="c").to_list() == answers
    assert sandbox.select(where, named="c").height == answers.count(True)


def test_rows_come_back_as_they_went_in_and_nobody_from_no_rows(sandbox: Sandbox) -> None:
    assert sandbox.select("true", named="c").equals(ROWS)
    assert Sandbox(ROWS.clear()).judge("kind = 'vfa'", named="c").is_empty()


@pytest.mark.parametrize(
    "where",
    [
        # files
        "1=1) union select * from read_text('/etc/passwd') where (true",
        "age_years in (select size from read_blob('/etc/passwd'))",
        "exists (select 1 from read_csv('/etc/passwd'))",
        "exists (from glob('/etc/*'))",
        "exists (from '/etc/passwd')",
        "exists (from 'https://example.org/x.csv')",
        "exists (from parquet_scan('x.parquet'))",
        "exists (from query('select 1'))",
        "exists (from query_table('subject_images'))",
        # statements
        "1=1); drop table subject_images; --",
        "true); attach '/tmp/x.duckdb'; select (1",
        "true); copy subject_images to '/tmp/x.csv'; select (1",
        "true); export database '/tmp/x'; select (1",
        "true); install httpfs; select (1",
        "true); load httpfs; select (1",
        "true); pragma enable_profiling; select (1",
        "true); set enable_external_access = true; select (1",
        "true; select 1",
        "copy subject_images to '/tmp/x.csv'",
        # what surrounds it
        "true) from subject_images where (true",
        "1=1 /*",
        "true) --",
        "x'; drop table subject_images; --",
        "",
        "-- nothing",
        # other tables and the system
        "exists (select 1 from duckdb_secrets())",
        "exists (select 1 from duckdb_settings())",
        "exists (from information_schema.tables)",
        "exists (from pg_class)",
        "kind in (select kind from main.subject_images)",
        "getenv('HOME') is null",
        "exists (call pragma_version())",
        "(with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t) > 1",
        # no condition on a row
        "agee > 3",
        "age_years > $1",
        "count(*) > 1",
        "row_number() over () = 1",
        "'abc'",
        "kind",
        # values of any size
        "repeat('a', 2000000000) = 'b'",
        "length(range(1000000000000)) > 3",
        "lpad('a', 2000000000, 'b') = 'c'",
    ],
)
def test_anything_but_a_condition_is_refused_at_once_and_harms_nothing(where: str, sandbox: Sandbox) -> None:
    start, before = time.monotonic(), set(Path("/tmp").glob("x*"))
    with pytest.raises(DatabaseError, match=r"cohorts\.x"):
        sandbox.judge(where, named="cohorts.x")
    assert time.monotonic() - start < 1.5
    assert sandbox.select("true", named="c").equals(ROWS)
    assert set(Path("/tmp").glob("x*")) == before


def test_a_misspelt_column_is_answered_with_the_columns(sandbox: Sandbox) -> None:
    with pytest.raises(DatabaseError, match=r"agee.*The columns are subject_id, kind, age_years"):
        sandbox.judge("agee > 3", named="c")


def test_what_never_ends_and_what_fills_the_memory_end_with_a_clear_error() -> None:
    many = Sandbox(pl.DataFrame({"a": range(200_000)}), time_limit_s=0.5)
    three = "subject_images x, subject_images y, subject_images z"
    with pytest.raises(DatabaseError, match=r"took more than 0\.5 seconds"):
        many.judge(f"(select count(*) from {three} where x.a + y.a < z.a) > 1", named="c")
    with pytest.raises(DatabaseError, match=r"too much memory|took more than"):
        many.judge("(select list(x.a * y.a) from subject_images x, subject_images y) is null", named="c")
    assert many.judge("a < 5", named="c").sum() == 5


def test_a_misspelt_column_is_named_with_the_nearest(sandbox: Sandbox) -> None:
    with pytest.raises(DatabaseError, match=r'"knd" not found') as caught:
        sandbox.judge("knd = 'vfa'", named="c")
    assert caught.value.next_step.startswith("Did you mean `kind`? The columns are ")
