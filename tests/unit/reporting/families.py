"""Made-up rows and lines of every family of results beyond the main ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from spinescore.core.reporting.material import Material, ResultTable
from spinescore.domain import CurvePoint, Result, as_row
from spinescore.study import Study
from tests.unit.reporting.conftest import (
    COHORTS,
    DEATH,
    FRACTURE,
    PREVALENT,
    make_curves,
    make_material,
    make_results,
)

HOSTILE_FAMILY = "<img src=x onerror=alert(3)>"
HOSTILE_MAKER = "</script><script>alert('maker')</script>"
PAD = {"predictor": "pad_corrected", "correction": "beheshti"}
COX = {"endpoint": FRACTURE, "cause": FRACTURE, "model": "Model 1", "sample": "own_n", "n": 120, "events": 25}


def ratio(value: float, **keys: Any) -> Result:
    """Return a ratio of PAD in the derivation cohort, with an interval and p of its own."""
    spread = {
        "lower": value - 0.25,
        "upper": value + 0.31,
        "p_value": 0.021,
        "scale": 5.04,
        "conf_level": 0.95,
    }
    made: dict[str, Any] = {"cohort": COHORTS[0], "variant": "main", **PAD, **COX, **spread}
    return Result(**{**made, "analysis": "cox", "statistic": "hr_per_sd", "value": value, **keys})


def refused(row: Result, note: str) -> dict[str, Any]:
    """Return the fields of a row that could not be estimated."""
    empty = dict.fromkeys(("value", "se", "lower", "upper", "p_value"))
    fields = {name: getattr(row, name) for name in row.__dataclass_fields__}
    return fields | empty | {"status": "not_estimable", "note": note}


def spline_rows() -> Iterator[Result]:
    keys = {"analysis": "spline", "scale": None, "lower": None, "upper": None}
    yield ratio(12.86, **keys, statistic="lr_chi2", term="global", df=3.0, p_value=0.0049)
    yield ratio(3.57, **keys, statistic="lr_chi2", term="nonlinear", df=2.0, p_value=0.168)
    for i, knot in enumerate((-7.12, -1.84, 1.93, 7.53), start=1):
        yield ratio(knot, **keys, statistic="knot_years", term=f"knot {i}", p_value=None)
    other = ratio(1.0, **keys | {"cohort": COHORTS[1]}, statistic="lr_chi2", term="global", df=3.0)
    yield Result(**refused(other, "too few distinct values of PAD"))


def subgroup_rows() -> Iterator[Result]:
    for name, values in (("sex=F", 1.83), ("sex=M", 1.29), (f"manufacturer={HOSTILE_MAKER}", 1.71)):
        yield ratio(values, analysis="subgroup", subgroup=name, n=60, events=12)
    yield Result(
        **refused(ratio(1.0, analysis="subgroup", subgroup="manufacturer=ACME", n=9, events=2), "2 events")
    )
    for name, p in (("sex", 0.068), ("manufacturer", 0.37)):
        yield ratio(
            3.3,
            analysis="subgroup",
            statistic="interaction_chi2",
            subgroup=name,
            p_value=p,
            lower=None,
            upper=None,
        )
    yield ratio(1.44, analysis="subgroup", subgroup="kind=vfa")


def version_rows() -> Iterator[Result]:
    yield ratio(1.7, variant="robust", method="sandwich")
    yield ratio(1.71, variant="robust", method="cluster", note="clusters: ward (50)", flags=("few_clusters",))
    yield ratio(1.66, variant="landmark", horizon_years=1.0, n=101, events=19)
    yield Result(**refused(ratio(1.0, variant="landmark", horizon_years=9.0, n=7, events=1), "1 events"))
    yield ratio(1.81, variant="imputed", n=125, events=26)
    yield ratio(
        0.13,
        variant="imputed",
        statistic="fmi",
        lower=None,
        upper=None,
        p_value=None,
        flags=("few_imputations",),
    )
    yield ratio(1.58, analysis="fine_gray", statistic="shr_per_sd")
    yield ratio(1.02, analysis="fine_gray", statistic="shr_per_sd", cause=DEATH, n=120, events=8)
    for statistic, term, n in (("n_complete", None, 120), ("n_dropped", None, 5), ("missing", "sex", 5)):
        keys = {"cohort": COHORTS[0], "endpoint": FRACTURE, "cause": FRACTURE, "model": "Model 1"}
        yield Result(analysis="missing_data", statistic=statistic, term=term, value=float(n), n=n, **keys)


def family_rows() -> Iterator[Result]:
    for method, value in (("holm", 0.0246), ("benjamini_hochberg", 0.0184)):
        yield ratio(
            value,
            analysis="multiplicity",
            statistic="p_adjusted",
            variant=None,
            method=method,
            term=HOSTILE_FAMILY,
            family=HOSTILE_FAMILY,
            note="2 tests",
        )


def prediction_rows() -> Iterator[Result]:
    for cohort, validation in (
        (COHORTS[0], "apparent"),
        (COHORTS[0], "optimism_corrected"),
        (COHORTS[1], "external"),
    ):
        for horizon, endpoint in ((2.0, FRACTURE), (5.0, FRACTURE), (None, PREVALENT)):
            keys = {"cohort": cohort, "validation": validation, "endpoint": endpoint, "model": "Model 1"}
            yield from _judged(
                float(horizon or 0), {**keys, "horizon_years": horizon, "n": 120, "events": 25}
            )
    for predictor, value in (("spine_age_raw", 0.655), ("chronological_age", 0.611)):
        keys = {
            "cohort": COHORTS[0],
            "analysis": "time_dependent_auc",
            "endpoint": FRACTURE,
            "n": 120,
            "events": 25,
        }
        yield Result(statistic="auc", predictor=predictor, value=value, horizon_years=5.0, **keys)


def _judged(shift: float, keys: dict[str, Any]) -> Iterator[Result]:
    def row(analysis: str, statistic: str, value: float, **more: Any) -> Result:
        spread = {"lower": value - 0.05, "upper": value + 0.05}
        return Result(analysis=analysis, statistic=statistic, value=value, **{**keys, **spread, **more})

    add = shift / 1000
    area = "auc" if keys["horizon_years"] is None else "time_dependent_auc"
    for i, with_pad in enumerate(({"predictor": None}, PAD)):
        yield row(area, "auc", 0.612 + add + 0.03 * i, **with_pad)
        yield row("brier", "brier", 0.151 + add - 0.01 * i, **with_pad)
        yield row("ipa", "ipa", 0.0214 + add + 0.01 * i, **with_pad)
        yield row("calibration", "observed_risk", 0.207, **with_pad)
        yield row("calibration", "calibration_slope", 0.83 + 0.1 * i, **with_pad)
        for term, value in (("threshold=0.1", 0.0123), ("threshold=0.05", 0.0456)):
            yield row(
                "decision_curve", "net_benefit", value + 0.001 * i, method="model", term=term, **with_pad
            )
    yield row("brier", "brier_difference", -0.01, **PAD)
    yield row("ipa", "ipa_difference", 0.01, **PAD)


def other_rows() -> Iterator[Result]:
    for i, statistic in enumerate(("sensitivity", "specificity", "ppv", "npv")):
        yield Result(
            cohort=COHORTS[0],
            analysis="cutoff",
            statistic=statistic,
            endpoint=PREVALENT,
            term="cutoff=-5",
            method="wilson",
            value=0.512 + 0.1 * i,
            lower=0.437 + 0.1 * i,
            upper=0.585 + 0.1 * i,
            n=120,
            events=30,
            **PAD,
        )
    place = {"cohort": COHORTS[0], "endpoint": FRACTURE, "cause": FRACTURE, "n": 40, "events": 9}
    yield Result(
        analysis="incidence",
        statistic="standardised_rate_per_1000_py",
        group="T3",
        value=66.04,
        lower=48.1,
        upper=88.9,
        flags=("strata_left_out",),
        **place,
    )
    lost = {"analysis": "restricted_mean", "horizon_years": 5.0, **place}
    yield Result(statistic="time_lost_years", value=0.56, lower=0.44, upper=0.69, **lost)
    yield Result(
        statistic="time_lost_difference_years",
        group="T3",
        comparator="T1",
        value=0.49,
        lower=0.18,
        upper=0.8,
        p_value=0.0021,
        **lost,
    )


def every_row() -> list[Result]:
    parts = (
        spline_rows,
        subgroup_rows,
        version_rows,
        family_rows,
        prediction_rows,
        other_rows,
        device_rows,
    )
    return [row for part in parts for row in part()]


def device_rows() -> Iterator[Result]:
    keys = {"cohort": COHORTS[0], "analysis": "device_shift", "predictor": "pad_raw", "correction": "none"}
    keys |= {"subgroup": "kind=vfa", "comparator": "manufacturer=ACME", "method": "hc3"}
    shift = {"value": -1.2345, "se": 0.3, "lower": -1.8, "upper": -0.6, "p_value": 0.0004, "n": 120}
    yield Result(statistic="shift_years", term=f"manufacturer={HOSTILE_MAKER}", **shift, **keys)
    test = {"value": 12.34, "df": 1.0, "p_value": 0.0004, "n": 400, "note": "denominator df 393"}
    yield Result(statistic="f_statistic", term="manufacturer", **test, **keys)


def every_line() -> Iterator[CurvePoint]:
    keys = {"endpoint": FRACTURE, "model": "Model 1", "sample": "own_n"}
    for x in range(-8, 9):
        height = {"y": 1.05**x, "lower": 1.02**x * 0.9, "upper": 1.08**x * 1.1}
        line = {"analysis": "spline", "x_name": "pad_years", "comparator": "0", "cause": FRACTURE, **PAD}
        yield CurvePoint(cohort=COHORTS[0], x=float(x), **height, **line, **keys)
    for cohort, validation in ((COHORTS[0], "apparent"), (COHORTS[1], "apparent"), (COHORTS[1], "external")):
        judged = {"cohort": cohort, "validation": validation, "horizon_years": 5.0, **keys}
        low = 0.1 if validation == "apparent" else 0.2
        for i in range(11):
            x = i / 20
            risk = {"analysis": "calibration", "x_name": "predicted_risk", "method": "spline"}
            yield CurvePoint(x=x, y=low + x / 2, **risk, **judged, **PAD)
            benefit = {"analysis": "decision_curve", "x_name": "threshold"}
            yield CurvePoint(x=x, y=low - x / 4, method="model", **benefit, **judged, **PAD)
            yield CurvePoint(x=x, y=low - x, method="treat_all", **benefit, **judged, **PAD)


def full_material(study: Study) -> Material:
    """Return the small study's material with every family of results in it."""
    results = ResultTable([*make_results(), *every_row()])
    points = [as_row(point) for point in (*make_curves(), *every_line())]
    return make_material(study, results=results, curves=pl.DataFrame(points, infer_schema_length=None))
