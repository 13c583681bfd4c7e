"""From a follow-up table to analysis sets: ours, and a pandas script doing the same joins; seconds and memory.

    python tests/benchmarks/bench_cohort.py [SUBJECTS]

Made up: SUBJECTS people, every fifth with a second image a year later, one in a hundred of either side without the
other; a table with dates, sex and date of birth, two covariates and three survival endpoints, death competing with the
other two. Ours reads the table, pseudonymises ids, holds sex and age against the images, writes it all to DuckDB in
one transaction, reads it again, and builds the cohort with its attrition. The pandas script gets the images as Parquet,
writes nothing, checks nothing and counts nothing. Each runs in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from spinescore.shell.cohorts import imported_key
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.warehouse import open_warehouse

N_SUBJECTS = 1_000_000
SEED = 20251125
NAME = "made up"
STUDY = """
[study]
title = "benchmark"
database = "cohort.duckdb"
[model]
imported = "made up"
[correction]
method = "none"
[subjects]
file = "follow-up.{suffix}"
id = "pid"
sex = "sex"
birth_date = "born"
dates = "iso"
[cohorts.all]
where = "age_years >= 50 and subject_flags not like '%sex_conflict%'"
[covariates.bmi]
column = "bmi"
[covariates.smoking]
column = "smoking"
type = "categorical"
[endpoints.fracture]
type = "survival"
event_date = "fracture"
end_date = "ended"
competing = "death"
before_image = "exclude"
[endpoints.hip]
type = "survival"
event_date = "hip"
end_date = "ended"
competing = "death"
before_image = "exclude"
admin_censor_date = 2022-12-31
[endpoints.death]
type = "survival"
event_date = "died"
end_date = "ended"
before_image = "exclude"
"""
OURS = """
import sys, time
from pathlib import Path
from spinescore.outcomes import import_outcomes
from spinescore.shell.cohorts import build_cohort, imported_key, subject_images
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import read_study

study = read_study(Path(sys.argv[1]))
key = imported_key(study.model.imported)
with open_warehouse(study.study.database) as warehouse:
    start = time.perf_counter()
    import_outcomes(warehouse, study)
    imported = time.perf_counter()
    images = subject_images(warehouse, study, key)
    read = time.perf_counter()
    cohort = build_cohort(warehouse, images, study, "all", key)
    end = time.perf_counter()
peak = int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) / 2**20
sizes = [len(rows) for rows in cohort.follow_up.values()]
print(f"import {imported - start:.1f} s, images {read - imported:.1f} s, cohort {end - read:.1f} s,",
      f"all {end - start:.1f} s, peak {peak:.2f} GiB, analysed {sizes}")
"""
PANDAS = """
import hmac, sys, time
import numpy as np, pandas as pd

table_file, image_file, key = sys.argv[1], sys.argv[2], bytes.fromhex(open(sys.argv[3]).read())
start = time.perf_counter()
days = ["born", "fracture", "hip", "died", "ended"]
table = (pd.read_csv(table_file, dtype={"pid": str}, parse_dates=days) if table_file.endswith("csv")
         else pd.read_parquet(table_file))
for day in days:
    table[day] = pd.to_datetime(table[day])
table["subject_id"] = [hmac.digest(key, p.strip().encode(), "sha256").hex()[:32] for p in table["pid"]]
images = pd.read_parquet(image_file)
images["study_date"] = pd.to_datetime(images["study_date"])
joined = images.merge(table, on="subject_id", how="inner", suffixes=("", "_table"))
conflict = joined.loc[joined["sex"] != joined["sex_table"], "subject_id"]
age = (joined["study_date"] - joined["born"]).dt.days / 365.25
joined["gap"] = (age - joined["age_years"]).abs() > 1
joined = joined[(joined["age_years"] >= 50) & ~joined["subject_id"].isin(conflict)]
index = joined.sort_values(["subject_id", "study_date", "sop_instance_uid"]).drop_duplicates("subject_id")
sizes = []
years = lambda until: (until - index["study_date"]).dt.days / 365.25
death, dead = years(index["died"].fillna(index["ended"])), index["died"].notna()
for name, limit in (("fracture", None), ("hip", "2022-12-31"), ("died", None)):
    happened = index[name].notna()
    until, status = years(index[name].fillna(index["ended"])), happened.astype(int)
    own_death, own_dead = death, dead
    if limit is not None:
        last = years(pd.Series(pd.Timestamp(limit), index=index.index))
        status, until = status.where(until <= last, 0), np.minimum(until, last)
        own_dead, own_death = dead & (death <= last), np.minimum(death, last)
    if name != "died":
        first = (status == 0) & own_dead & (own_death <= until)
        status, until = status.where(~first, 2), until.where(~first, np.minimum(own_death, until))
    sizes.append(int((until > 0).sum()))
end = time.perf_counter()
peak = int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) / 2**20
print(f"all {end - start:.1f} s, peak {peak:.2f} GiB, analysed {sizes}")
"""


def make_people(n: int) -> pl.DataFrame:
    """Return the follow-up table."""
    rng = np.random.default_rng(SEED)
    first = np.datetime64("2010-01-01") + rng.integers(0, 2500, n)
    ended = first + rng.integers(-30, 4000, n)

    def some(share: float) -> pl.Series:
        days = first + (rng.random(n) * (ended - first).astype(int)).astype("timedelta64[D]")
        return pl.Series(np.where((rng.random(n) < share) & (ended > first), days, np.datetime64("NaT")))

    return pl.DataFrame(
        {
            "pid": [f"{number:08d}" for number in range(n)],
            "first": first,
            "sex": rng.choice(["F", "M"], n),
            "born": first - rng.integers(16_000, 33_000, n),
            "bmi": rng.normal(26, 4, n).round(2),
            "smoking": rng.choice(["never", "past", "now"], n),
            "fracture": some(0.12),
            "hip": some(0.03),
            "died": some(0.15),
            "ended": ended,
        }
    ).with_columns(pl.col("first", "born", "fracture", "hip", "died", "ended").cast(pl.Date))


def make_images(people: pl.DataFrame, subjects: list[str]) -> pl.DataFrame:
    """Return their images: every fifth has a second one, a year later."""
    known = people.select("first", "sex", "born").with_columns(pl.Series("subject_id", subjects))
    both = pl.concat([known, known.gather_every(5).with_columns(pl.col("first").dt.offset_by("1y"))])
    rng = np.random.default_rng(SEED + 1)
    age = (pl.col("first") - pl.col("born")).dt.total_days() / 365.25
    return both.select(
        pl.format("imported:{}", pl.int_range(pl.len()).cast(pl.String).str.zfill(32)).alias(
            "sop_instance_uid"
        ),
        "subject_id",
        pl.when(pl.Series(rng.random(both.height) < 0.999)).then("sex").otherwise(pl.lit("F")).alias("sex"),
        pl.when(pl.Series(rng.random(both.height) < 0.99)).then(age).alias("age_years"),
        pl.col("first").alias("study_date"),
        pl.lit("vfa").alias("kind"),
        pl.lit("GE").alias("manufacturer"),
        pl.lit(value=False).alias("synthetic"),
        (age + pl.Series(rng.normal(0, 4, both.height))).alias("spine_age"),
        pl.lit(1).alias("run_id"),
    )


def make_database(folder: Path, n: int) -> None:
    """Write the database as `scores import` would have, the tables, and the images for pandas."""
    people = make_people(n)
    key = imported_key(NAME)
    with open_warehouse(folder / "cohort.duckdb", create=True) as warehouse:
        identify = pseudonymiser(warehouse)
        subjects = [identify(pid, None) for pid in people["pid"]]
        images = make_images(people, subjects).slice(n // 100)  # one in a hundred has no image
        warehouse.append("images", images.drop("spine_age"))
        scores = images.select("sop_instance_uid", "kind", "spine_age", "run_id").with_columns(
            pl.col("spine_age").round().cast(pl.Int32).alias("spine_age_rounded"),
            pl.lit(key.model_id).alias("model_id"),
            pl.lit(key.preprocessing_id).alias("preprocessing_id"),
        )
        warehouse.append("scores", scores)
    images.write_parquet(folder / "images.parquet")
    table = people.drop("first").head(n - n // 100)  # and one in a hundred no row
    table.write_csv(folder / "follow-up.csv")
    table.write_parquet(folder / "follow-up.parquet")


def run_script(folder: Path, script: str, *arguments: object) -> str:
    """Run a script in a process of its own and return what it printed."""
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    command = [sys.executable, str(file), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def main() -> None:
    """Make everything, then measure ours and pandas on both formats."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else N_SUBJECTS
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["SPINESCORE_HOME"] = str(folder / "home")
        make_database(folder, n)
        print(f"{n:,} subjects, 3 endpoints")
        for suffix in ("parquet", "csv"):
            study = folder / f"{suffix}.toml"
            study.write_text(STUDY.format(suffix=suffix), encoding="utf-8")
            print(f"{suffix:8} ours    {run_script(folder, OURS, study)}")
            table = folder / f"follow-up.{suffix}"
            key = folder / "home" / "pseudonym.key"
            images = folder / "images.parquet"
            print(f"{suffix:8} pandas  {run_script(folder, PANDAS, table, images, key)}")


if __name__ == "__main__":
    main()
