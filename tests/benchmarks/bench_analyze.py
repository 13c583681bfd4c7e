"""The whole of ``analyze`` at a million subjects, beside R's Cox models and concordances alone, in one run.

    python tests/benchmarks/bench_analyze.py [SUBJECTS]

Three survival endpoints, two of them with a competing one, one binary endpoint, Models 1-3 on each model's own subjects
and on the common ones, continuous times; bootstraps and imputation off. R gets the same rows as a file, and its time is
that of ``coxph`` and ``concordance`` alone: Models 1-3 with and without PAD on each one's own subjects, one fit each.
Ours runs in a process of its own, whose peak memory is printed: first the core of the analysis (Cox models of five
predictors, PAD groups and competing causes, likelihood ratios, concordances, tests of proportional hazards, curves, restricted
means, Fine and Gray's models, AUCs), then everything ``analyze`` does, with variants, splines, subgroups, predictions.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from spinescore.core.analysis import analyze
from spinescore.core.statistics.assembly.binary_rows import binary_rows, roc_curves
from spinescore.core.statistics.assembly.cox_rows import cox_rows
from spinescore.core.statistics.assembly.fine_gray_rows import fine_gray_rows
from spinescore.core.statistics.assembly.follow_up_rows import follow_up_curves, follow_up_rows
from spinescore.core.statistics.assembly.restricted_mean_rows import restricted_mean_rows
from spinescore.core.statistics.assembly.setting import prepare_setting
from spinescore.core.statistics.assembly.time_dependent_rows import time_dependent_rows
from spinescore.domain import Cohort
from spinescore.study import Study

SUBJECTS = 1_000_000
SEED = 20251125
THREADS = 2  # as the command takes on two cores
ENDPOINTS = ("fracture", "vertebral", "death")
MODELS = {
    "Model 1": ["age", "sex"],
    "Model 2": ["age", "sex", "bmi", "smoking"],
    "Model 3": ["age", "sex", "bmi", "smoking", "bmd"],
}
R_SCRIPT = r"""
suppressMessages(library(survival))
d <- read.csv(commandArgs(TRUE)[1], stringsAsFactors = TRUE)
models <- list(c("age", "sex"), c("age", "sex", "bmi", "smoking"), c("age", "sex", "bmi", "smoking", "bmd"))
for (endpoint in c("fracture", "vertebral", "death")) {
  y <- sprintf("Surv(%s_years, %s_status == 1)", endpoint, endpoint)
  took <- system.time(for (m in models) {
    whole <- d[stats::complete.cases(d[, m]), ]
    small <- coxph(reformulate(m, y), whole, ties = "efron")
    large <- coxph(reformulate(c("pad", m), y), whole, ties = "efron")
    concordance(small, large)
  })
  cat(endpoint, took["elapsed"], "\n", sep = "\t")
}
"""


def make_study() -> Study:
    """Return the study; every ``analysis`` key that is off by default stays off, the bootstraps too."""
    survival = {"type": "survival", "event": "e", "time": "t", "time_origin": "image"}
    return Study.model_validate(
        {
            "study": {"title": "benchmark, made-up data", "database": "d.duckdb", "synthetic": True},
            "subjects": {"file": "f.csv", "id": "id"},
            "cohorts": {"all": {"where": "true"}},
            "endpoints": {
                "fracture": survival | {"competing": "death"},
                "vertebral": survival | {"competing": "death"},
                "death": survival,
                "osteoporosis": {"type": "binary", "column": "op"},
            },
            "covariates": {
                "bmi": {"column": "bmi"},
                "bmd": {"column": "bmd"},
                "smoking": {"column": "smoking", "type": "categorical", "reference": "never"},
            },
            "models": MODELS,
            "analysis": {"horizons_years": [2.0, 5.0], "bootstraps": 0},
        }
    )


def make_cohort(n: int) -> Cohort:
    """Draw subjects whose age gap raises every hazard."""
    rng = np.random.default_rng(SEED)
    age, gap = rng.normal(70, 8, n), rng.normal(0, 4, n)
    spine_age = 0.8 * age + 14 + gap + rng.normal(0, 2, n)
    corrected = spine_age + 0.2 * age - 14
    bmi = rng.normal(26, 4, n)
    subjects = pl.DataFrame(
        {
            "subject_id": np.arange(n).astype(str),
            "sop_instance_uid": np.arange(n).astype(str),
            "kind": "vfa",
            "sex": rng.choice(["F", "M"], n),
            "age_years": age,
            "manufacturer": rng.choice(["A", "B"], n),
            "spine_age_raw": spine_age,
            "spine_age_sd": 2.0,
            "spine_age_corrected": corrected,
            "pad_raw": spine_age - age,
            "pad_corrected": corrected - age,
            "bmi": np.where(rng.random(n) < 0.05, np.nan, bmi),
            "bmd": rng.normal(0.9, 0.1, n),
            "smoking": rng.choice(["never", "past", "now"], n),
            "osteoporosis": (rng.random(n) < 1 / (1 + np.exp(1 - 0.1 * gap))).astype(int),
        }
    ).with_columns(pl.col("bmi").fill_nan(None))
    risk = np.exp(0.05 * gap + 0.03 * (age - 70))
    first, second, death = (rng.exponential(1 / (rate * risk)) for rate in (0.02, 0.01, 0.03))
    end = rng.uniform(3, 12, n)
    follow_up = {"death": _follow_up(subjects, end, death)}
    for name, times in (("fracture", np.minimum(first, second)), ("vertebral", second)):
        follow_up[name] = _follow_up(subjects, end, times, death)
    return Cohort("all", subjects, follow_up, pl.DataFrame())


def _follow_up(subjects: pl.DataFrame, end: np.ndarray, *events: np.ndarray) -> pl.DataFrame:
    times = np.vstack([end, *events])
    return pl.DataFrame(
        {
            "subject_id": subjects["subject_id"],
            "entry_years": np.zeros(len(end)),
            "exit_years": times.min(axis=0),
            "status": times.argmin(axis=0),
        }
    )


def write_for_r(cohort: Cohort, file: Path) -> None:
    table = cohort.subjects.select(
        "subject_id", "sex", "bmi", "bmd", "smoking", age="age_years", pad="pad_corrected"
    )
    for name in ENDPOINTS:
        times = cohort.follow_up[name].select(
            "subject_id",
            pl.col("exit_years").alias(f"{name}_years"),
            pl.col("status").alias(f"{name}_status"),
        )
        table = table.join(times, on="subject_id")
    table.drop("subject_id").write_csv(file, null_value="NA")


CORE = (follow_up_rows, restricted_mean_rows, cox_rows, fine_gray_rows, time_dependent_rows)


def run_core(cohort: Cohort, study: Study) -> int:
    """Compute the core of the analysis; returns how many results it has."""
    setting = prepare_setting(cohort, study, "beheshti", (), primary=True)

    def of_endpoint(endpoint: str) -> int:
        rows = CORE if endpoint in ENDPOINTS else (binary_rows,)
        lines = follow_up_curves if endpoint in ENDPOINTS else roc_curves
        list(lines(setting, endpoint))
        return sum(len(list(make(setting, endpoint))) for make in rows)

    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(of_endpoint, study.endpoints))


def run_ours(n: int) -> None:
    cohort, study = make_cohort(n), make_study()
    start = time.perf_counter()
    count = run_core(cohort, study)
    print(f"ours: the core           {time.perf_counter() - start:8.1f} s   {count:,} results")
    before = getrusage(RUSAGE_SELF).ru_maxrss >> 10
    start = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"):
        done = analyze([cohort], study, correction_method="beheshti", correction_flags={}, threads=THREADS)
    seconds = time.perf_counter() - start
    peak = getrusage(RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"ours: everything         {seconds:8.1f} s   {len(done.results):,} results, {len(done.curves):,} points of lines"
    )
    print(f"      peak memory        {peak:8,} MiB ({before:,} MiB before it began)")


def run_r(n: int) -> None:
    if shutil.which("Rscript") is None:
        print("R is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "data.csv", Path(folder) / "bench.R"
        write_for_r(make_cohort(n), table)
        script.write_text(R_SCRIPT)
        done = subprocess.run(
            ["Rscript", str(script), str(table)], capture_output=True, text=True, check=True
        )
    times = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    for name, seconds, *_ in times:
        print(f"R:    {name:18} {float(seconds):8.1f} s   Cox and concordance alone")
    print(f"R:    together           {sum(float(row[1]) for row in times):8.1f} s")


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else SUBJECTS
    if sys.argv[-1] == "--ours":
        run_ours(n)
        return
    print(f"{n:,} subjects")
    subprocess.run([sys.executable, __file__, str(n), "--ours"], check=True)
    run_r(n)


if __name__ == "__main__":
    main()
