"""A small database of imported ages with a follow-up table and a study file, made up from a seed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from spinescore.core.score_table import ScoreTable
from spinescore.scores import ImportRequest, import_scores
from spinescore.study import Study, read_study

RADIOGRAPHS, FILMS = 120, 160
COHORTS = """
[cohorts."R reference"]
role = "reference"
where = "kind = 'radiograph' and split = 'reference'"
[cohorts."V reference"]
role = "reference"
where = "kind = 'vfa' and split = 'reference'"
[cohorts.V]
where = "kind = 'vfa' and split = 'test'"
"""
REFERENCE = 'reference = { radiograph = "R reference", vfa = "V reference" }'
ENDPOINT = """
[endpoints.fracture]
type = "survival"
event = "broken"
time = "years"
time_origin = "image"
[models]
"Model 1" = ["age"]
[analysis]
bootstraps = 0
horizons_years = [2]
subgroups = []
"""


def make_people(seed: int = 3) -> list[dict[str, Any]]:
    """Return people whose spine ages lean towards 67 years, VFA images' being four years too high besides."""
    rng = np.random.default_rng(seed)
    people = []
    for n in range(RADIOGRAPHS + FILMS):
        kind = "radiograph" if n < RADIOGRAPHS else "vfa"
        age = float(rng.uniform(45, 90))
        raw = 20 + 0.7 * age + float(rng.normal(0, 4)) + 4 * (kind == "vfa")
        maker = "Rare" if n % 60 == 0 else "GE MEDICAL SYSTEMS"
        years = float(rng.exponential(8))
        people.append(
            {
                "pid": f"s{n}",
                "kind": kind,
                "age": round(age, 3),
                "raw": round(raw, 3),
                "maker": maker,
                "broken": int(years < 4),
                "years": round(min(years, 4), 3),
            }
        )
    return people


def make_database(folder: Path, people: list[dict[str, Any]], *, model: str = "m") -> Path:
    """Import the people's ages under a name; patient ids are kept as they are."""
    rows = [f"{p['pid']},{p['kind']},{p['age']},{p['raw']},{p['maker']},2015-01-01" for p in people]
    file = folder / f"{model}.csv"
    file.write_text("\n".join(["pid,kind,age,raw,maker,day", *rows]) + "\n", encoding="utf-8")
    table = ScoreTable(
        file=file,
        id="pid",
        spine_age="raw",
        age="age",
        study_date="day",
        kind_column="kind",
        manufacturer="maker",
    )
    import_scores(folder / "c.duckdb", ImportRequest(table, model, keep_identifiers=True))
    follow_up = [f"{p['pid']},{p['broken']},{p['years']}" for p in people]
    (folder / "f.csv").write_text("\n".join(["pid,broken,years", *follow_up]) + "\n", encoding="utf-8")
    return folder / "c.duckdb"


def copy_made(made: Path, folder: Path) -> None:
    """Copy a made database and its tables to a folder of one's own."""
    for path in made.iterdir():
        if path.suffix in {".duckdb", ".csv"}:
            shutil.copy(path, folder / path.name)


def make_study(
    folder: Path, correction: str = REFERENCE, *, cohorts: str = COHORTS, more: str = "", model: str = "m"
) -> Study:
    """Write and read a study file of that database, with its [correction] as given."""
    text = f"""
[report]
formats = []
[study]
title = "t"
database = "c.duckdb"
synthetic = true
[model]
imported = "{model}"
[correction]
{correction}
[subjects]
file = "f.csv"
id = "pid"
{more}{cohorts}{ENDPOINT}"""
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return read_study(folder / "study.toml")
