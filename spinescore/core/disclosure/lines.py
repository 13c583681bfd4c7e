"""The lines of a release: steps where enough events have accrued, at times that are nobody's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import polars as pl

from spinescore.core.disclosure.relations import Cell, Relations
from spinescore.core.disclosure.running_totals import round_down, round_parts

STEPS = ("kaplan_meier", "cumulative_incidence")
TIME_GRID = 0.25  # years
COUNT_COLUMNS = ("n_at_risk", "cumulative_events", "cumulative_censored")
LINE_KEYS = (
    "cohort", "analysis", "endpoint", "cause", "model", "sample", "variant", "validation", "predictor",
    "correction", "comparator", "term", "group", "subgroup", "horizon_years", "method", "x_name",
)  # fmt: skip
SMOOTH: Mapping[str, tuple[float, int]] = {
    # the grid of x, and the decimals of y
    "fit": (1.0, 1),
    "spline": (0.25, 2),
    "ph_test": (TIME_GRID, 2),
    "calibration": (0.01, 2),
    "decision_curve": (0.01, 2),
    "repeated_images": (0.05, 2),
}
TRIMMED = {"fit": 0.05, "spline": 0.1, "ph_test": 0.1}  # of the range, at either end: few are there
Row = dict[str, Any]


def publish_lines(
    curves: pl.DataFrame, relations: Relations, classes: Mapping[Any, tuple[int, int]]
) -> pl.DataFrame:
    """Return the lines that may be published, and store how their counts go together.

    Parameters
    ----------
    curves : polars.DataFrame
        As ``analyze`` stored them.
    classes : mapping
        Of (cohort, endpoint, predictor): subjects with and without, for ROC curves.

    Notes
    -----
    Step lines are published for PAD groups alone, since those of everybody are their sum. A kind of line
    that is not known here is left out.
    """
    if curves.is_empty():
        return curves
    rows: list[Row] = []
    risk = publish_risk_tables(curves, relations.k)
    for keys, line in curves.group_by(LINE_KEYS, maintain_order=True):
        named = dict(zip(LINE_KEYS, keys, strict=True))
        points = line.sort("x", maintain_order=True).to_dicts()
        analysis = named["analysis"]
        if analysis in STEPS and named["group"] is not None:
            rows += _step_line(points, named, risk, relations.k)
        elif analysis == "roc":
            rows += _roc_line(
                points, classes.get((named["cohort"], named["endpoint"], named["predictor"])), relations.k
            )
        elif analysis in SMOOTH:
            rows += _smooth_line(points, *SMOOTH[analysis], TRIMMED.get(analysis, 0.0))
    rows += _risk_rows(risk, relations, len(rows))
    return pl.DataFrame(rows, schema=curves.schema) if rows else curves.clear()


def publish_risk_tables(curves: pl.DataFrame, k: int) -> dict[tuple[Any, ...], list[Row]]:
    """Return published numbers at risk by (cohort, endpoint, method) and group, year by year.

    At risk: running totals over the groups, never rising, never above what is left after the events
    published. Events: rounded down within the group. A table ends where some group has fewer than 2k at risk.
    """
    if curves.is_empty():
        return {}
    chosen = (pl.col("analysis") == "number_at_risk") & pl.col("group").is_not_null()
    tables: dict[tuple[Any, ...], list[Row]] = {}
    for keys, table in curves.filter(chosen).group_by("cohort", "endpoint", "method", maintain_order=True):
        groups = table["group"].unique(maintain_order=True).to_list()
        left: dict[str, int] = {}
        start: dict[str, int] = {}
        published: list[Row] = []
        for _, year in table.sort("x", maintain_order=True).group_by("x", maintain_order=True):
            own = {row["group"]: row for row in year.to_dicts()}
            if set(own) != set(groups) or min(row["y"] for row in own.values()) < 2 * k:
                break
            rounded = round_parts([int(own[g]["y"]) for g in groups], k)
            for g, at_risk in zip(groups, rounded, strict=True):
                events = round_down(int(own[g]["cumulative_events"] or 0), k)
                start.setdefault(g, at_risk)
                left[g] = max(0, min(at_risk, left.get(g, at_risk), start[g] - events))
                published.append(
                    own[g]
                    | {
                        "y": float(left[g]),
                        "n_at_risk": left[g],
                        "cumulative_events": events,
                        "cumulative_censored": None,
                    }
                )
        if published:
            tables[keys] = published
    return tables


def _risk_rows(tables: Mapping[tuple[Any, ...], list[Row]], relations: Relations, first: int) -> list[Row]:
    rows: list[Row] = []
    for (cohort, endpoint, method), table in tables.items():
        of_group: dict[str, list[tuple[str, str]]] = {}
        by_year: dict[float, list[str]] = {}
        for row in table:
            where = f"{cohort} / {endpoint} / {method} / {row['group']} / year {row['x']:g}"
            place = first + len(rows)
            at_risk = relations.add_cell(Cell(f"at risk: {where}", "curves", place, "n_at_risk"))
            events = relations.add_cell(Cell(f"events: {where}", "curves", place, "cumulative_events"))
            relations.relate("running_total", [(events, 1)])
            of_group.setdefault(row["group"], []).append((at_risk, events))
            by_year.setdefault(row["x"], []).append(at_risk)
            rows.append(row)
        for series in of_group.values():
            for before, now in pairwise(series):
                relations.relate("at_least", [(before[0], 1), (now[0], -1)])
                relations.relate("at_least", [(now[1], 1), (before[1], -1)])
                relations.relate("at_least", [(series[0][0], 1), (now[0], -1), (now[1], -1)])
    return rows


def _step_line(
    points: list[Row], keys: Row, risk: Mapping[tuple[Any, ...], list[Row]], k: int
) -> Iterator[Row]:
    """Yield a line's steps: at the first time of the grid by which ``k`` more events have accrued."""
    table = [
        row
        for (c, e, _), rows in risk.items()
        if (c, e) == (keys["cohort"], keys["endpoint"])
        for row in rows
    ]
    own = [row for row in table if row["group"] == keys["group"]]
    if not own or not points:
        return
    unit = k / max(own[0]["n_at_risk"], k)
    end = max(row["x"] for row in own)
    first = points[0]
    yield _bare(first | {"x": 0.0, "lower": first["y"], "upper": first["y"]})
    accrued = 0
    last = first
    for step in range(1, math.floor(end / TIME_GRID) + 1):
        time = step * TIME_GRID
        past = [point for point in points if point["x"] <= time]
        now = past[-1] if past else first
        events = int(now["cumulative_events"] or 0)
        if events >= accrued + k:
            accrued = events
            last = now | {
                "y": _snap(now["y"], unit),
                "lower": _snap(now["lower"], 0.01),
                "upper": _snap(now["upper"], 0.01),
            }
            yield _bare(last | {"x": time})
    yield _bare(
        last
        | {
            "x": end,
            "lower": last["lower"] if accrued else first["y"],
            "upper": last["upper"] if accrued else first["y"],
        }
    )


def _roc_line(points: list[Row], classes: tuple[int, int] | None, k: int) -> Iterator[Row]:
    """Yield a ROC curve that moves by ``k`` cases or ``k`` others at a time; none below 2k of either."""
    if classes is None or min(classes) < 2 * k:
        return
    cases, others = classes
    seen: set[tuple[float, float]] = set()
    for point in points:
        x = math.floor(point["x"] * others / k + 1e-9) * k / others if point["x"] < 1 else 1.0
        y = math.floor(point["y"] * cases / k + 1e-9) * k / cases if point["y"] < 1 else 1.0
        if (x, y) not in seen:
            seen.add((x, y))
            yield _bare(point | {"x": round(x, 6), "y": round(y, 6)})


def _smooth_line(points: list[Row], grid: float, decimals: int, trim: float) -> Iterator[Row]:
    """Yield a smooth line on a grid, without the ends of its range, where few people are."""
    if not points:
        return
    low, high = points[0]["x"], points[-1]["x"]
    room = trim * (high - low)
    seen: set[float] = set()
    for point in points:
        x = round(round(point["x"] / grid) * grid, 6)
        if low + room <= x <= high - room and x not in seen:
            seen.add(x)
            numbers = {
                name: None if point[name] is None else round(point[name], decimals)
                for name in ("y", "lower", "upper")
            }
            yield _bare(point | {"x": x} | numbers)


def _snap(value: float | None, unit: float) -> float | None:
    return None if value is None else min(1.0, max(0.0, round(round(value / unit) * unit, 6)))


def _bare(point: Row) -> Row:
    return point | dict.fromkeys(COUNT_COLUMNS)
