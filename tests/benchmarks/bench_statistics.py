"""The estimators against lifelines and, where it is installed, R: seconds, in one run.

    python tests/benchmarks/bench_statistics.py [SUBJECTS ...]

Six covariates, continuous times, two causes. R gets the same data as a file; its time is that of the fit alone.
lifelines is left out where it would take minutes (its time at the smaller size is shown).
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from lifelines import CoxPHFitter

from spinescore.core.statistics.concordance import compare_concordance, measure_concordance
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.discrimination import compare_auc, measure_auc
from spinescore.core.statistics.fine_gray import fit_fine_gray
from spinescore.core.statistics.proportional_hazards import (
    check_proportional_hazards,
    measure_residuals,
    transform_times,
)
from spinescore.core.statistics.time_dependent import measure_auc_at, measure_brier, weigh_horizon
from spinescore.core.statistics.times import make_follow_up

SIZES = (100_000, 1_000_000)
MOST_FOR_ROBUST_R = 100_000
MOST_FOR_CRR = 5_000
COVARIATES = [f"x{k}" for k in range(6)]
R_SCRIPT = r"""
suppressMessages({library(survival); library(pROC)})
d <- read.csv(commandArgs(TRUE)[1]); n <- nrow(d)
f <- Surv(time, status == 1) ~ x0 + x1 + x2 + x3 + x4 + x5
clock <- function(name, expr) cat(name, system.time(expr)["elapsed"], "\n", sep = "\t")
clock("Cox", fit <- coxph(f, d, ties = "efron"))
clock("C with SE, two models", {concordance(fit); concordance(coxph(Surv(time, status == 1) ~ x1 + x2, d))})
clock("PH test", cox.zph(fit, transform = "km"))
clock("paired DeLong", roc.test(roc(d$status == 1, d$x0, direction = "<", quiet = TRUE), roc(d$status == 1, d$x1, direction = "<", quiet = TRUE), method = "delong", paired = TRUE))
if (n <= 100000) clock("Cox, robust SE", coxph(f, d, ties = "efron", robust = TRUE))
"""
CRR_SCRIPT = r"""
d <- read.csv(commandArgs(TRUE)[1])
cat("Fine-Gray", system.time(cmprsk::crr(d$time, d$status, as.matrix(d[, 1:6])))["elapsed"], "\n", sep = "\t")
"""


def make_data(n: int) -> pl.DataFrame:
    """Draw subjects with two exponential causes and uniform censoring."""
    rng = np.random.default_rng(20251125)
    x = rng.normal(size=(n, 6))
    first = rng.exponential(1 / (0.03 * np.exp(0.3 * x[:, 0] + 0.1 * x[:, 1])))
    other = rng.exponential(1 / (0.02 * np.exp(0.2 * x[:, 2])))
    censored = rng.uniform(2, 15, n)
    exits = np.minimum(np.minimum(first, other), censored)
    status = np.where(exits == censored, 0, np.where(first < other, 1, 2))
    return pl.DataFrame({**{c: x[:, k] for k, c in enumerate(COVARIATES)}, "time": exits, "status": status})


def ours(data: pl.DataFrame) -> dict[str, float]:
    """Time each estimator."""
    x = data.select(COVARIATES).to_numpy()
    times = make_follow_up(np.zeros(data.height), data["time"].to_numpy(), data["status"].to_numpy())
    event = times.status == 1
    fit = fit_cox(times, event, x)
    risk = 1 / (1 + np.exp(-x[:, 0]))

    def two_concordances() -> None:
        first = measure_concordance(times, event, x @ fit.coefficients)
        compare_concordance(first, measure_concordance(times, event, x[:, 1] + x[:, 2]), 0.95)

    def robust() -> None:
        again = fit_cox(times, event, x)
        robust_covariance(score_residuals(times, event, x, again), again.covariance)

    def proportional_hazards() -> None:
        residuals = measure_residuals(times, event, x, fit)
        g = transform_times(times, event, residuals.times, "km")
        check_proportional_hazards(residuals, g, {c: [k] for k, c in enumerate(COVARIATES)})

    def at_horizon() -> None:
        horizon = weigh_horizon(times, 5.0)
        measure_auc_at(horizon, risk)
        measure_brier(horizon, risk)

    work: dict[str, Callable[[], object]] = {
        "Cox": lambda: fit_cox(times, event, x),
        "C with SE, two models": two_concordances,
        "PH test": proportional_hazards,
        "paired DeLong": lambda: compare_auc(
            measure_auc(event, x[:, 0]), measure_auc(event, x[:, 1]), 0.95, test=True
        ),
        "Cox, robust SE": robust,
        "Fine-Gray": lambda: fit_fine_gray(times, 1, x),
        "IPCW AUC and Brier": at_horizon,
    }
    return {name: clock(job) for name, job in work.items()}


def clock(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def lifelines(data: pl.DataFrame) -> dict[str, float]:
    frame = data.with_columns(pl.col("status") == 1).to_pandas()
    found = {"Cox": clock(lambda: CoxPHFitter().fit(frame, "time", "status"))}
    if data.height <= MOST_FOR_ROBUST_R:
        found["Cox, robust SE"] = clock(lambda: CoxPHFitter().fit(frame, "time", "status", robust=True))
    return found


def in_r(data: pl.DataFrame) -> dict[str, float]:
    if shutil.which("Rscript") is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "data.csv"
        data.write_csv(table)
        found = timings(R_SCRIPT, table)
        if data.height <= MOST_FOR_CRR:
            found |= timings(CRR_SCRIPT, table)
        return found


def timings(script: str, table: Path) -> dict[str, float]:
    file = table.with_suffix(".R")
    file.write_text(script)
    command = ["Rscript", str(file), str(table)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    return {name: float(seconds) for name, seconds, *_ in rows}


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [MOST_FOR_CRR, *SIZES]
    for n in sizes:
        data = make_data(n)
        mine, theirs, r = ours(data), lifelines(data), in_r(data)
        print(f"\n{n:,} subjects, {int((data['status'] == 1).sum()):,} events; seconds")
        print(f"{'':24}{'ours':>9}{'lifelines':>11}{'R':>9}{'R / ours':>10}")
        for name, seconds in mine.items():
            other = f"{theirs[name]:11.2f}" if name in theirs else f"{'':>11}"
            reference = f"{r[name]:9.2f}{r[name] / seconds:10.1f}" if name in r else ""
            print(f"{name:24}{seconds:9.2f}{other}{reference}")
    print(f"\npeak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
