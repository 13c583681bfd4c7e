"""How long a report takes: a study with every family of results, and one of 100,000 subjects from its data on.

Run: ``python tests/benchmarks/bench_report.py [SUBJECTS]``. Goals: 15 s for HTML and PDF of stored results, two
minutes for the analysis (no bootstraps, no imputation) and report of 100,000 subjects, on two idle cores.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import polars as pl

from spinescore.core.analysis import analyze
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.sections import build_report
from spinescore.domain import Analysis, Cohort, as_row
from spinescore.shell.render import render_files
from spinescore.study import Study
from tests.unit.reporting.conftest import make_attrition, make_material
from tests.unit.statistics.made_up_cohort import SETTINGS, make_cohort, make_study


def settings(cohorts: tuple[str, ...], bootstraps: int, imputations: int) -> dict[str, Any]:
    """Return a study that asks for every family of results."""
    made = copy.deepcopy(SETTINGS)
    made["endpoints"].pop("prevalent outcome", None)
    made["endpoints"]["fracture"] |= {"strata": ["smoking"], "cluster": "ward"}
    made["covariates"]["ward"] = {"column": "ward", "type": "categorical"}
    made["cohorts"] = {name: {"where": "true"} for name in cohorts}
    made["models"] = {name: made["models"][name] for name in ("Model 1", "Model 3")}
    made["analysis"] = {
        "primary": {"cohort": cohorts[0], "endpoint": "fracture", "model": "Model 1"},
        "horizons_years": [2.0, 5.0],
        "bootstraps": bootstraps,
        "imputations": imputations,
        "firth": True,
        "landmark_years": [1.0],
        "reclassification": True,
        "cutoffs": {"pad_corrected": [0, 5], "spine_age_raw": [75]},
        "families": {"fractures": {"endpoints": ["fracture"]}, "all outcomes": {}},
    }
    return made


def cohort(name: str, n: int, seed: int) -> Cohort:
    """Return a made-up cohort whose subjects lie in 50 wards."""
    made = make_cohort(n, seed=seed)
    ward = (pl.int_range(pl.len()) * 7 % 50).cast(pl.String).alias("ward")
    return replace(made, name=name, subjects=made.subjects.with_columns(ward))


def material(study: Study, found: Analysis) -> Material:
    """Return what a report of an analysis is made from."""
    names = list(study.analysis_cohorts())
    attrition = make_attrition().with_columns(cohort=pl.lit(names[0]))
    curves = pl.DataFrame([as_row(point) for point in found.curves], infer_schema_length=None)
    marked = study.model_copy(update={"study": study.study.model_copy(update={"synthetic": True})})
    return make_material(
        marked,
        results=ResultTable(found.results),
        curves=curves,
        points=found.points,
        repeats=found.repeats,
        attrition=attrition,
    )


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took, by the wall and by this process's own clock."""
    wall, own = time.perf_counter(), time.process_time()
    yield
    print(f"  {what:<28} {time.perf_counter() - wall:6.1f} s   (own CPU {time.process_time() - own:5.1f} s)")


def measure(title: str, cohorts: list[Cohort], study: Study) -> None:
    """Print the time of each step from the cohorts to the files."""
    print(title)
    start = time.perf_counter()
    with timed("analysis"):
        found = analyze(cohorts, study, correction_method="beheshti", correction_flags={}, threads=2)
    made = material(study, found)
    middle = time.perf_counter()
    with timed("words, tables, charts"):
        report = build_report(made)
    with timed("HTML, PDF, supplement"):
        files, _ = render_files(report, "report")
    sizes = ", ".join(f"{name} {len(content) / 1e6:.1f} MB" for name, content in files.items())
    print(
        f"  {len(found.results):,} results; {len(report.tables())} tables, {len(report.figures())} charts; {sizes}"
    )
    print(f"  report alone {time.perf_counter() - middle:.1f} s; all {time.perf_counter() - start:.1f} s\n")


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    both = ("Derivation", "External")
    small = [cohort(name, 400, seed) for seed, name in enumerate(both, start=1)]
    measure("Every family, two cohorts of 400", small, make_study(**settings(both, 20, 20)))
    measure(
        f"{n:,} subjects, no bootstraps, no imputation",
        [cohort("Derivation", n, 1)],
        make_study(**settings(both[:1], 0, 0)),
    )
