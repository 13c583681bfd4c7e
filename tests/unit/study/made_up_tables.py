"""Made-up follow-up tables, and what is drafted for them."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.follow_up_table import read_subjects
from spinescore.new_study import NewStudyRequest, write_new_study
from spinescore.shell.tabular import find_table
from spinescore.study import Study, read_study
from spinescore.study.reading import find_problems

N = 60
SEED = np.random.default_rng(5)
FIRST_DAY = date(2010, 1, 1)


def days(start: int = 0, step: int = 13) -> list[date]:
    return [FIRST_DAY + timedelta(days=start + step * number) for number in range(N)]


def cycle(*values: Any) -> list[Any]:
    return [values[number % len(values)] for number in range(N)]


IDS = [f"P{number:04d}" for number in range(N)]
DIGITS = [f"{number:08d}" for number in range(1, N + 1)]


def draft(folder: Path, table: pl.DataFrame, **request: Any) -> str:
    """Write a table as CSV, draft a study for it and return the study's text."""
    table.write_csv(folder / "f.csv")
    write_new_study(NewStudyRequest(folder / "f.csv", folder / "study.toml", **request))
    return (folder / "study.toml").read_text(encoding="utf-8")


def sections(text: str) -> dict[str, Any]:
    content = tomllib.loads(text)
    assert find_problems(content) == []
    return content


def accepted(folder: Path) -> Study:
    """Return the study, if its table is read without a complaint."""
    study = read_study(folder / "study.toml")
    assert study.subjects is not None
    found = find_table(study.subjects.file, study.subjects)
    read = read_subjects(found.rows, study, lambda i, _: i, delimiter=found.delimiter)
    assert read.subjects.height == found.rows.height
    return study


def simple(**columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({"pid": IDS, "bmi": SEED.normal(23, 3, N).round(1)} | columns)
