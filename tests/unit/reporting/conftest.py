"""A small study with made-up results, every name of which is hostile, and the report of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from spinescore.core.reporting.document import Report
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.sections import build_report
from spinescore.domain import CurvePoint, Result, StageSummary, as_row
from spinescore.report import render_report
from spinescore.shell.cohorts import ModelKey
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study

KEY = ModelKey("0123456789abcdef", "fedcba9876543210")
COHORTS = ("Derivation", "External")
GROUPS = ("T1", "T2", "T3")
FRACTURE, DEATH, PREVALENT = "any fracture", "death", "prevalent fracture"
HOSTILE_TITLE = "{{ 7 * 7 }} <script>alert('title')</script>"
HOSTILE_ENDPOINT = "=cmd|'/c calc'!A1 <b onmouseover=alert(2)>"
HOSTILE_LEVEL = "</script><script>alert('level')</script>"


def make_study(output: Path, *, synthetic: bool = True) -> Study:
    return Study.model_validate(
        {
            "study": {
                "title": HOSTILE_TITLE,
                "database": output.parent / "cohort.duckdb",
                "output": output,
                "synthetic": synthetic,
            },
            "subjects": {"file": "follow-up.csv", "id": "id"},
            "cohorts": {name: {"where": "age_years > 40 and '<i>' = '<i>'"} for name in COHORTS},
            "endpoints": {
                FRACTURE: {
                    "type": "survival",
                    "title": HOSTILE_ENDPOINT,
                    "event": "e",
                    "time": "t",
                    "time_origin": "image",
                    "competing": DEATH,
                },
                DEATH: {"type": "survival", "event": "d", "time": "t", "time_origin": "image"},
                PREVALENT: {"type": "binary", "column": "p"},
            },
            "models": {"Model 1": ["age", "sex"]},
            "analysis": {"primary": {"cohort": COHORTS[0], "endpoint": FRACTURE, "model": "Model 1"}},
        }
    )


def make_results() -> list[Result]:
    return [row for cohort in COHORTS for row in _cohort_results(cohort)]


def _cohort_results(cohort: str) -> Iterator[Result]:
    pad = {"predictor": "pad_corrected", "correction": "beheshti"}
    for i, group in enumerate(GROUPS):
        common = {"cohort": cohort, "analysis": "pad_groups", "group": group, **pad}
        yield Result(statistic="n", value=40.0, n=40, **common)
        yield Result(statistic="cut_lower", value=None if i == 0 else -2.0 + 4 * (i - 1), **common)
        yield Result(statistic="cut_upper", value=None if i == 2 else -2.0 + 4 * i, **common)
    yield from _table_one(cohort)
    for predictor, mae in (("spine_age_raw", 5.25), ("spine_age_corrected", 3.5)):
        common = {"cohort": cohort, "analysis": "accuracy", "predictor": predictor, "n": 1234}
        flags = () if predictor == "spine_age_raw" else ("corrected_contains_age",)
        yield Result(statistic="mae", value=mae, lower=mae - 0.5, upper=mae + 0.5, flags=flags, **common)
    yield Result(
        cohort=cohort,
        analysis="auc_difference",
        statistic="auc_difference",
        endpoint=PREVALENT,
        predictor="spine_age_raw",
        comparator="chronological_age",
        value=-0.0004,
        lower=-0.05,
        upper=0.05,
        conf_level=0.95,
        p_value=0.98,
        n=120,
        events=30,
    )
    for predictor in ("spine_age_raw", "chronological_age"):
        yield Result(
            cohort=cohort,
            analysis="auc",
            statistic="auc",
            endpoint=PREVALENT,
            predictor=predictor,
            value=0.7,
            lower=0.6,
            upper=0.8,
            n=120,
            events=30,
        )
    for endpoint in (FRACTURE, DEATH):
        for sample in ("own_n", "common_n"):
            yield _hazard_ratio(cohort, endpoint, sample)


def _table_one(cohort: str) -> Iterator[Result]:
    for group in ("overall", *GROUPS):
        common = {"cohort": cohort, "analysis": "table_one", "group": group}
        size = 120.0 if group == "overall" else 40.0
        yield Result(term="subjects", statistic="n", value=size, **common)
        yield Result(term="manufacturer", statistic="n", value=size, **common)
        yield Result(term="manufacturer", statistic="missing", value=0.0, **common)
        yield Result(term="manufacturer", statistic="count", comparator=HOSTILE_LEVEL, value=size, **common)
        yield Result(
            term="manufacturer", statistic="percent", comparator=HOSTILE_LEVEL, value=100.0, **common
        )


def _hazard_ratio(cohort: str, endpoint: str, sample: str) -> Result:
    keys = {
        "cohort": cohort,
        "analysis": "cox",
        "statistic": "hr_per_sd",
        "endpoint": endpoint,
        "cause": endpoint,
        "model": "Model 1",
        "sample": sample,
        "variant": "main",
        "predictor": "pad_corrected",
        "correction": "beheshti",
        "scale": 5.04,
        "n": 120,
        "conf_level": 0.95,
    }
    if endpoint == DEATH:
        return Result(**keys, events=3, status="not_estimable", note="3 events")  # type: ignore[arg-type]
    flags = ("primary", "few_events") if (cohort, sample) == (COHORTS[0], "own_n") else ()
    return Result(**keys, events=25, value=1.744, lower=1.456, upper=2.074, p_value=0.0123, flags=flags)  # type: ignore[arg-type]


def make_curves() -> list[CurvePoint]:
    points = []
    for cohort in COHORTS:
        for i, group in enumerate(GROUPS):
            for year in range(7):
                keys = {"cohort": cohort, "endpoint": FRACTURE, "cause": FRACTURE, "group": group}
                points.append(
                    CurvePoint(
                        analysis="cumulative_incidence",
                        x_name="follow_up_years",
                        x=float(year),
                        y=0.02 * year * (i + 1),
                        lower=0.01 * year,
                        upper=0.03 * year * (i + 1),
                        **keys,
                    )
                )
                points.append(
                    CurvePoint(
                        analysis="number_at_risk",
                        x_name="follow_up_years",
                        x=float(year),
                        y=40.0 - 5 * year,
                        method="aalen_johansen",
                        **keys,
                    )
                )
    return points


def make_points(n: int = 50) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "cohort": [cohort for cohort in COHORTS for _ in range(n)],
            "age_years": [50.0 + i % 40 for _ in COHORTS for i in range(n)],
            "spine_age_raw": [55.0 + i % 37 for _ in COHORTS for i in range(n)],
            "spine_age_corrected": [53.0 + i % 39 for _ in COHORTS for i in range(n)],
            "sex": ["F" if i % 2 else None for _ in COHORTS for i in range(n)],
        }
    )


def make_attrition() -> pl.DataFrame:
    steps = [
        ("files found", "files", None, "", 0, 130),
        ("eligible images", "files", None, "rejected: <u>bad</u>", 4, 126),
        ("linked to follow-up", "images", None, "not in the follow-up table", 6, 120),
        ("follow-up", "subjects", FRACTURE, "missing", 0, 120),
        ("in the follow-up table", "table rows", None, "", 0, 133),
        ("with an image", "table rows", None, "no image of the subject", 13, 120),
    ]
    names = ("step", "unit", "endpoint", "reason", "n_excluded", "n_remaining")
    rows = [
        {"cohort": cohort, "position": i, **dict(zip(names, step, strict=True))}
        for cohort in COHORTS
        for i, step in enumerate(steps)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def make_material(study: Study, **changes: object) -> Material:
    fields: dict[str, object] = {
        "study": study,
        "results": ResultTable(make_results()),
        "curves": pl.DataFrame([as_row(point) for point in make_curves()], infer_schema_length=None),
        "points": make_points(),
        "attrition": make_attrition(),
        "corrections": [],
        "images": [],
        "model": {
            "model_id": KEY.model_id,
            "preprocessing_id": KEY.preprocessing_id,
            "name": "demo",
            "version": "1",
            "manifest": {"synthetic": True},
        },
        "runs": [],
        "versions": {"spinescore": "0.1.0"},
        "made_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    }
    return Material(**fields | changes)  # type: ignore[arg-type]


def fill_warehouse(warehouse: Warehouse, study: Study) -> None:
    """Store an analysis as ``analyze`` would."""
    with warehouse.run("analyze", {}, model_id=KEY.model_id, input_sha256="a" * 64) as run:
        made_by = (pl.lit(run.run_id).alias("run_id"), pl.lit(KEY.model_id).alias("model_id"))
        rows = [as_row(result) | {"flags": list(result.flags)} for result in make_results()]
        warehouse.append("results", pl.DataFrame(rows, infer_schema_length=None).with_columns(made_by))
        curves = pl.DataFrame([as_row(point) for point in make_curves()], infer_schema_length=None)
        warehouse.append("curves", curves.with_columns(made_by))
        warehouse.append("points", make_points().with_columns(made_by[0]))
        warehouse.append("attrition", make_attrition().with_columns(made_by[0]))
        model = {"model_id": KEY.model_id, "name": "demo", "version": "1", "manifest": '{"synthetic": true}'}
        warehouse.append("models", pl.DataFrame([model | {"run_id": run.run_id}]))
        correction = {
            "correction_id": "c" * 16,
            "method": "beheshti",
            "kind": "radiograph",
            "model_id": KEY.model_id,
            "preprocessing_id": KEY.preprocessing_id,
            "slope": -0.25,
            "intercept": 16.5,
            "levels": "[]",
            "n_reference": 100,
            "reference_cohort": "reference",
            "reference_sha256": "d" * 64,
            "age_min": 45.0,
            "age_max": 80.0,
            "run_id": run.run_id,
        }
        warehouse.append("corrections", pl.DataFrame([correction]))


@pytest.fixture(scope="package")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make_material(make_study(tmp_path_factory.mktemp("study") / "report"))


@pytest.fixture(scope="package")
def report(material: Material) -> Report:
    return build_report(material)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "report")


@pytest.fixture
def warehouse(study: Study) -> Iterator[Warehouse]:
    with open_warehouse(study.study.database, create=True) as opened:
        yield opened


@pytest.fixture
def analysed(warehouse: Warehouse, study: Study) -> Warehouse:
    fill_warehouse(warehouse, study)
    return warehouse


@pytest.fixture(scope="package")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StageSummary]:
    """Return the folder of one whole report, rendered once."""
    study = make_study(tmp_path_factory.mktemp("study") / "report")
    with open_warehouse(study.study.database, create=True) as warehouse:
        fill_warehouse(warehouse, study)
        return study.study.output, render_report(warehouse, study, KEY)
