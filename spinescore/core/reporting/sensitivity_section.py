"""Sensitivity analyses: the same ratio of PAD under every other assumption that was fitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from spinescore.core.reporting.document import Block, Cell, Column, Paragraph, Row, Section, Table, make_key
from spinescore.core.reporting.follow_up_figures import ForestRow, forest_figure
from spinescore.core.reporting.formatting import (
    DASH,
    estimate_cell,
    events_of,
    format_count,
    format_number,
    p_cell,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked, ngettext
from spinescore.core.reporting.material import Material, in_sentence
from spinescore.core.reporting.stored_words import stored_text
from spinescore.core.reporting.tables import head_row
from spinescore.domain import Result

TITLE = marked("Sensitivity analyses")
READING = marked(
    "The same ratio of predicted age difference (PAD) under other assumptions than the "
    "main analysis has. What matters is whether the estimate moves by more than its "
    "interval is wide, not which line has the smallest p. All of them share the same "
    "subjects, images and outcomes: that they agree says nothing of errors in those, nor "
    "of causes left unmeasured."
)


class Assumption(NamedTuple):
    """Another way to the same ratio: its name, what differs in words, and the keys of its rows."""

    name: str
    differs: str
    keys: dict[str, str]


ASSUMPTIONS = (
    Assumption(marked("Main analysis"), marked("as declared"), {"sample": "own_n"}),
    Assumption(
        marked("Common cases"),
        marked("subjects complete for all models; SD of these"),
        {"sample": "common_n"},
    ),
    Assumption(
        marked("Multiple imputation"),
        marked("missing covariates drawn by chained equations, pooled by Rubin's rules"),
        {"variant": "imputed"},
    ),
    Assumption(
        marked("Firth's penalty"), marked("penalised likelihood, for few events"), {"variant": "firth"}
    ),
    Assumption(
        marked("Robust errors"),
        marked("same estimate; interval right also where hazards are not proportional"),
        {"variant": "robust", "method": "sandwich"},
    ),
    Assumption(
        marked("Cluster-robust errors"),
        marked("same estimate; subjects of one cluster may be alike"),
        {"variant": "robust", "method": "cluster"},
    ),
    Assumption(marked("Stratified"), marked("a baseline hazard for each stratum"), {"variant": "strata"}),
    Assumption(
        marked("Age as the time scale"),
        marked("time is age; age leaves the covariates"),
        {"variant": "age_scale"},
    ),
    Assumption(
        marked("Age as a spline"), marked("age may bend (restricted cubic spline)"), {"variant": "age_spline"}
    ),
    Assumption(
        marked("Landmark"), marked("follow-up restarts there, for whoever is left"), {"variant": "landmark"}
    ),
)
FINE_GRAY = Assumption(
    marked("Fine and Gray"),
    marked("another quantity: subdistribution hazard ratio, of the cumulative incidence"),
    {"sample": "own_n"},
)
Version = tuple[Assumption, Result]


def sensitivity_section(material: Material) -> Section:
    """Show every other estimate of the ratio of PAD, and who lacks covariates; empty where there is none."""
    others = [
        row for row in material.results if row.variant not in {None, "main"} or row.analysis == "fine_gray"
    ]
    if not others:
        return Section(key="sensitivity", title=_(TITLE), blocks=())
    blocks = (
        Paragraph(text=_(READING)),
        primary_forest(material),
        primary_table(material),
        others_table(material),
        missing_table(material),
    )
    return Section(key="sensitivity", title=_(TITLE), blocks=tuple(b for b in blocks if b is not None))


def versions(material: Material, cohort: str, endpoint: str, model: str) -> list[Version]:
    """Return every assumption under which a ratio of PAD is stored, the main one first."""
    keys = {"endpoint": endpoint, "model": model, "predictor": material.pad(cohort)}
    analysis, statistic = "logistic", "or_per_sd"
    if endpoint in material.survival:
        keys["cause"] = endpoint
        analysis, statistic = "cox", "hr_per_sd"
    found = [
        (assumption, row)
        for assumption in ASSUMPTIONS
        for row in material.results.every(cohort, analysis, statistic, **keys | assumption.keys)
    ]
    rivals = material.results.every(cohort, "fine_gray", "shr_per_sd", **keys | FINE_GRAY.keys)
    return found + [(FINE_GRAY, row) for row in rivals]


def version_title(version: Version) -> str:
    """Return the name of an assumption, with the year of a landmark."""
    assumption, row = version
    if row.variant != "landmark" or row.horizon_years is None:
        return _(assumption.name)
    years = row.horizon_years
    return ngettext(
        "{analysis} at {years:g} year", "{analysis} at {years:g} years", 1 if years == 1 else 2
    ).format(analysis=_(assumption.name), years=years)


def _primary(material: Material) -> tuple[str, str] | None:
    declared = material.study.analysis.primary
    endpoint = declared.endpoint if declared else material.primary_endpoint
    model = material.primary_model
    return (endpoint, model) if endpoint and model else None


def primary_forest(material: Material) -> Block | None:
    """Draw the primary ratio under every assumption, cohort by cohort."""
    primary = _primary(material)
    if primary is None:
        return None
    rows: list[ForestRow] = []
    for cohort in material.cohorts:
        found = versions(material, cohort, *primary)
        rows += [ForestRow(label=cohort)] if found else []
        rows += [ForestRow(label=version_title(version), result=version[1]) for version in found]
    title = in_sentence(material.endpoint_title(primary[0]))
    return forest_figure(
        f"sensitivity-{make_key(primary[0])}",
        _(
            "The ratio of {title} per SD of predicted age difference under other assumptions, {primary}"
        ).format(title=title, primary=primary[1]),
        _(
            "Squares: estimates; bars: {level} confidence intervals, on a log scale. What differs "
            "is in the table.{caution}"
        ).format(level=material.level_percent, caution=material.correction_caution),
        _(
            "Forest plot of the ratio of {title} per standard deviation of predicted age "
            "difference in the main and every sensitivity analysis by cohort; the numbers are "
            "printed beside the marks."
        ).format(title=title),
        rows,
        axis=_("Odds ratio per SD (log scale)") if primary[0] in material.binary else None,
    )


def primary_table(material: Material) -> Table | None:
    """Show the primary ratio under every assumption: what differs, events, n, SD, ratio and p."""
    primary = _primary(material)
    rows: list[Row] = []
    for cohort in material.cohorts if primary else ():
        found = versions(material, cohort, *primary)  # type: ignore[misc]
        rows += [head_row(material.cohort_title(cohort))] if found else []
        rows += [_primary_row(material, cohort, version) for version in found]
    if not rows or primary is None:
        return None
    ratio = "OR" if primary[0] in material.binary else "HR"
    return Table(
        key="sensitivity",
        title=_(
            "{endpoint}: ratio per SD of predicted age difference under other assumptions, {primary}"
        ).format(endpoint=material.endpoint_title(primary[0]), primary=primary[1]),
        columns=(
            Column(label=_("Analysis"), align="left"),
            Column(label=_("What differs"), align="left"),
            Column(label=_("Events / n")),
            Column(label=_("SD, years")),
            Column(label=_("{ratio} per SD ({level} CI)").format(ratio=ratio, level=material.level_percent)),
            Column(label="p"),
        ),
        rows=tuple(rows),
        caption=_(
            "Cause-specific Cox models where events compete, unless the line says otherwise; in "
            "each line only what it says differs from the main analysis. A subdistribution hazard "
            "ratio also moves with the competing event and is not to be compared in size. p values "
            "are not adjusted."
        ),
    )


def _primary_row(material: Material, cohort: str, version: Version) -> Row:
    row = version[1]
    cells = (
        Cell(text=version_title(version)),
        Cell(text=_differs(material, cohort, version)),
        Cell(text=events_of(row)),
        Cell(text=DASH if row.scale is None else format_number(row.scale, 1)),
        estimate_cell(row, "ratio"),
        p_cell(row),
    )
    return Row(cells=cells, kind="indent")


def _differs(material: Material, cohort: str, version: Version) -> str:
    """Say what differs, with what the row notes of it: clusters, strata, missing information."""
    assumption, row = version
    parts = [_(assumption.differs)]
    if row.status == "ok" and row.note and row.variant != "age_spline":
        parts.append(stored_text(row.note))
    if row.variant == "imputed":
        keys = {"endpoint": row.endpoint, "model": row.model, "predictor": row.predictor}
        fmi = material.results.find(cohort, row.analysis, "fmi", variant="imputed", **keys)
        if fmi is not None and fmi.value is not None:
            parts.append(
                _("fraction of missing information {value}").format(value=format_number(fmi.value, 2))
            )
    return "; ".join(parts)


def others_table(material: Material) -> Table | None:
    """Show the ratios of every endpoint and model under every assumption; None for the primary alone."""
    rows: list[Row] = []
    for endpoint in (*material.survival, *material.binary):
        if (endpoint, *material.models) == _primary(material):
            continue
        ratio = _("odds ratios") if endpoint in material.binary else _("hazard ratios")
        for cohort in material.cohorts:
            found = list(_other_rows(material, cohort, endpoint))
            title = f"{material.endpoint_title(endpoint)}, {ratio}: {cohort}"
            rows += [head_row(title), *found] if len(found) > 1 else []
    if not rows:
        return None
    spanner = _("Ratio per SD of PAD ({level} CI)").format(level=material.level_percent)
    return Table(
        key="sensitivity-models",
        title=_("Ratio per SD of predicted age difference under other assumptions, every outcome and model"),
        columns=(
            Column(label=_("Analysis"), align="left"),
            *(Column(label=model, spanner=spanner) for model in material.models),
        ),
        rows=tuple(rows),
        caption=_(
            "Below each ratio: events / n. Empty: not fitted there. Fine and Gray's are "
            "subdistribution hazard ratios. Lines are the same estimate under other assumptions, "
            "not further findings."
        ),
    )


def _other_rows(material: Material, cohort: str, endpoint: str) -> Iterator[Row]:
    by_model = {model: versions(material, cohort, endpoint, model) for model in material.models}
    order = [assumption.name for assumption in (*ASSUMPTIONS, FINE_GRAY)]
    titles = {
        version_title(version): order.index(version[0].name)
        for found in by_model.values()
        for version in found
    }
    for title in sorted(titles, key=lambda title: titles[title]):
        cells = []
        for found in by_model.values():
            row = next((version[1] for version in found if version_title(version) == title), None)
            cells.append(estimate_cell(row, "ratio", detail=events_of(row)) if row else Cell(text=""))
        yield Row(cells=(Cell(text=title), *cells), kind="indent")


def missing_table(material: Material) -> Table | None:
    """Count who is complete for each model and what the others lack; None where it was not counted."""
    rows: list[Row] = []
    for endpoint in (*material.survival, *material.binary):
        for cohort in material.cohorts:
            made = (_missing_row(material, cohort, endpoint, model) for model in material.models)
            found = [row for row in made if row is not None]
            rows += [head_row(f"{material.endpoint_title(endpoint)}: {cohort}"), *found] if found else []
    if not rows:
        return None
    return Table(
        key="missing-covariates",
        title=_("Missing covariates of the models"),
        columns=(
            Column(label=_("Model"), align="left"),
            Column(label=_("Complete, n")),
            Column(label=_("Left out, n")),
            Column(label=_("Missing, n"), align="left"),
        ),
        rows=tuple(rows),
        caption=_(
            "Of subjects whose predicted age difference and outcome are known. The main analysis "
            "leaves out whoever lacks a covariate of the model; one subject may lack several."
        ),
    )


def _missing_row(material: Material, cohort: str, endpoint: str, model: str) -> Row | None:
    keys = {"endpoint": endpoint, "model": model}
    complete = material.results.find(cohort, "missing_data", "n_complete", **keys)
    dropped = material.results.find(cohort, "missing_data", "n_dropped", **keys)
    if complete is None:
        return None
    lacking = []
    for term in material.study.models[model]:
        row = material.results.find(cohort, "missing_data", "missing", term=term, **keys)
        if row is not None and row.n:
            lacking.append(f"{in_sentence(material.term_title(term))} {format_count(row.n)}")
    counts = (Cell(text=format_count(complete.n)), Cell(text=format_count(dropped.n if dropped else None)))
    return Row(
        cells=(Cell(text=model), *counts, Cell(text="; ".join(lacking) or _("nothing"))), kind="indent"
    )
