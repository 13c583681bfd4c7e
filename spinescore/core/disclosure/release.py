"""A report's material -> what may be shared of it. Every rendering follows from what is returned here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinescore.core.disclosure.attrition import publish_attrition
from spinescore.core.disclosure.counts import publish_counts
from spinescore.core.disclosure.estimates import Published, publish_estimate
from spinescore.core.disclosure.lines import publish_lines, publish_risk_tables
from spinescore.core.disclosure.rare_levels import pool_rare_levels
from spinescore.core.disclosure.relations import Relations
from spinescore.core.disclosure.running_totals import round_down
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.domain import Result
from spinescore.study import Study

SINGLES_OUT = re.compile(r"(?i)\b(subject_id|\w*_uid|path\w*|accession\w*|patient\w*)\b")
NOT_SHOWN = "(a condition on single subjects or images, not shown here)"
HIDDEN_PATH = Path("not-shown")
MANIFEST_KEYS = (
    "name", "version", "synthetic", "backbone", "first_age", "n_classes", "training_data", "intended_use",
    "licence", "imported", "temperature",
)  # fmt: skip
AGE_STEP = 5


@dataclass(frozen=True, slots=True)
class Shareable:
    """What may be shared, and what is public of its counts."""

    material: Material
    relations: Relations


def make_shareable(material: Material, k: int) -> Shareable:
    """Return the material without rows of single people, its counts rounded, and all else made of them.

    Only what is named here is passed on: a field that is added to ``Material`` is left out until it is
    dealt with.

    Parameters
    ----------
    material : Material
    k : int
        The least count, 2 or more.

    Raises
    ------
    ValueError
        If ``k`` is below 2: nothing would be hidden.
    """
    if k < 2:
        raise ValueError(f"the least count must be 2 or more, not {k}")
    relations = Relations(k)
    rows = pool_rare_levels(list(material.results), k)
    counts = publish_counts(rows, relations)
    accrued = _Accrued(publish_risk_tables(material.curves, k))
    spreads = _spreads(rows)
    published = []
    for i, row in enumerate(rows):
        with_counts = Published(
            n=counts.subjects.get(i),
            events=counts.events.get(i),
            known=counts.known.get(i),
            accrued=accrued.until(row),
            spread=spreads.get((row.cohort, row.term, row.group)),
            parameters=1 + len(material.study.models.get(row.model or "", ())),
        )
        published.append(publish_estimate(row, with_counts, k))
    return Shareable(
        material=Material(
            study=_hide_places(material.study),
            results=ResultTable(published),
            curves=publish_lines(material.curves, relations, _classes(published)),
            points=material.points.clear(),
            repeats=material.repeats.clear(),
            attrition=publish_attrition(material.attrition, relations),
            corrections=[_publish_correction(c, k) for c in material.corrections],
            images=[_publish_images(i, k) for i in material.images],
            model=_publish_model(material.model, k),
            runs=[{**run, "counts": {}} for run in material.runs],
            versions=material.versions,
            made_at=material.made_at,
        ),
        relations=relations,
    )


class _Accrued:
    """Events published by whole years of follow-up."""

    def __init__(self, tables: Mapping[tuple[Any, ...], Sequence[Mapping[str, Any]]]) -> None:
        self._events: dict[tuple[Any, ...], int] = {}
        for (cohort, endpoint, _), rows in tables.items():
            for row in rows:
                at = (cohort, endpoint, int(row["x"]))
                self._events[*at, row["group"]] = row["cumulative_events"]
                self._events[*at, None] = self._events.get((*at, None), 0) + row["cumulative_events"]

    def until(self, row: Result) -> int | None:
        """Return the events of a row's group by the last whole year before its horizon."""
        if row.horizon_years is None:
            return None
        endpoint = row.cause or row.endpoint
        return self._events.get((row.cohort, endpoint, math.floor(row.horizon_years), row.group))


def _spreads(rows: Sequence[Result]) -> dict[tuple[str, str | None, str | None], float]:
    """Return the SD of each variable of Table 1 by group."""
    return {
        (row.cohort, row.term, row.group): row.value
        for row in rows
        if row.analysis == "table_one" and row.statistic == "sd" and row.value
    }


def _classes(rows: Sequence[Result]) -> dict[Any, tuple[int, int]]:
    """Return the published numbers with and without each binary endpoint, by predictor."""
    return {
        (row.cohort, row.endpoint, row.predictor): (row.events, row.n - row.events)
        for row in rows
        if row.analysis == "auc" and row.model is None and row.n and row.events and row.subgroup is None
    }


def _hide_places(study: Study) -> Study:
    """Return the study's settings without paths, and without conditions that name single people."""
    study_section = study.study.model_copy(update={"database": HIDDEN_PATH, "output": HIDDEN_PATH})
    cohorts = {
        name: cohort.model_copy(update={"where": _hide_condition(cohort.where)})
        for name, cohort in study.cohorts.items()
    }
    endpoints = {
        name: endpoint.model_copy(update={"exclude_where": _hide_condition(endpoint.exclude_where)})
        for name, endpoint in study.endpoints.items()
    }
    changes: dict[str, Any] = {
        "study": study_section,
        "cohorts": cohorts,
        "endpoints": endpoints,
        "images": study.images.model_copy(update={"sources": (), "rules": None}),
    }
    if study.subjects is not None:
        changes["subjects"] = study.subjects.model_copy(update={"file": HIDDEN_PATH})
    if study.correction.file is not None:
        changes["correction"] = study.correction.model_copy(update={"file": Path(study.correction.file).name})
    return study.model_copy(update=changes)


def _hide_condition(condition: str | None) -> str | None:
    return NOT_SHOWN if condition and SINGLES_OUT.search(condition) else condition


def _publish_correction(correction: Mapping[str, Any], k: int) -> dict[str, Any]:
    kept = dict(correction)
    for name in ("n_reference", "n_trained_on"):
        if kept.get(name) is not None:
            kept[name] = round_down(int(kept[name]), k)
    for name, digits in (("slope", 3), ("intercept", 2)):
        if kept.get(name) is not None:
            kept[name] = round(kept[name], digits)
    kept["age_min"] = AGE_STEP * math.ceil(kept["age_min"] / AGE_STEP)
    kept["age_max"] = AGE_STEP * math.floor(kept["age_max"] / AGE_STEP)
    return {name: value for name, value in kept.items() if name != "reference_sha256"}


def _publish_images(images: Mapping[str, Any], k: int) -> dict[str, Any]:
    rounded = {name: round_down(int(images[name]), k) for name in ("n_images", "n_subjects")}
    return {"kind": images["kind"], **rounded, "first_date": None, "last_date": None}


def _publish_model(model: Mapping[str, Any], k: int) -> dict[str, Any]:
    manifest = {key: value for key, value in model.get("manifest", {}).items() if key in MANIFEST_KEYS}
    if manifest.get("imported"):
        origin = manifest["imported"]
        manifest["imported"] = {
            **origin,
            "rows": round_down(int(origin["rows"]), k),
            "file_sha256": "not shown",
        }
    return {**model, "manifest": manifest}
