"""Cut-offs of ages and age differences: sensitivity, specificity and predictive values."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import Cell, Column, Paragraph, Row, Section, Table
from spinescore.core.reporting.formatting import events_of
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import LEFT_TO_CALLER, PREDICTOR_NAMES, Material
from spinescore.core.reporting.survival_tables import as_percent
from spinescore.core.reporting.tables import head_row, stacked_cell
from spinescore.domain import Result

TITLE = marked("Cut-offs")
READING = marked(
    "What declaring a subject positive at or above a cut-off would amount to. The cut-offs "
    "are those of the study file; if they were chosen after seeing these data, the numbers "
    "flatter them. Predictive values hold for the share of cases in these cohorts and for "
    "no other."
)
STATISTICS = (
    ("sensitivity", marked("Sensitivity, %")),
    ("specificity", marked("Specificity, %")),
    ("ppv", "PPV, %"),
    ("npv", "NPV, %"),
)


def cutoff_section(material: Material) -> Section:
    """Show what cut-offs tell apart; empty where the study file has none."""
    table = cutoff_table(material)
    blocks = () if table is None else (Paragraph(text=_(READING)), table)
    return Section(key="cutoffs", title=_(TITLE), blocks=blocks)


def cutoff_table(material: Material) -> Table | None:
    """Show sensitivity, specificity and predictive values at each cut-off; None without any."""
    rows: list[Row] = []
    for endpoint in (*material.binary, *material.survival):
        for cohort in material.cohorts:
            rows.extend(_endpoint_rows(material, cohort, endpoint))
    if not rows:
        return None
    return Table(
        key="cutoffs",
        title=_("Sensitivity, specificity and predictive values at cut-offs"),
        columns=(
            Column(label=_("Positive from"), align="left"),
            Column(label=_("Cases / n")),
            *(Column(label=_(head)) for _name, head in STATISTICS),
        ),
        rows=tuple(rows),
        caption=_(
            "Below: {level} confidence intervals; Wilson's for prevalent disease. For later "
            "events: cases had the event by the horizon, controls are all others known to be "
            "without it then, weighted by the inverse probability of being uncensored. PPV, NPV: "
            "positive and negative predictive value. No cut-off shown is recommended for use in a "
            "person."
        ).format(level=material.level_percent),
    )


def _endpoint_rows(material: Material, cohort: str, endpoint: str) -> Iterator[Row]:
    keys = {"endpoint": endpoint, "term": LEFT_TO_CALLER}
    found = material.results.every(cohort, "cutoff", "sensitivity", **keys)
    for horizon in dict.fromkeys(row.horizon_years for row in found):
        until = "" if horizon is None else _(" by {horizon:g} years").format(horizon=horizon)
        yield head_row(f"{material.endpoint_title(endpoint)}{until}: {cohort}")
        yield from (_cutoff_row(material, cohort, r) for r in found if r.horizon_years == horizon)


def _cutoff_row(material: Material, cohort: str, row: Result) -> Row:
    names = ("endpoint", "predictor", "term", "horizon_years", "method")
    keys = {name: getattr(row, name) for name in names}
    found = (material.results.find(cohort, "cutoff", statistic, **keys) for statistic, _head in STATISTICS)
    cells = (stacked_cell(result and as_percent(result), "percent") for result in found)
    number = (row.term or "").partition("=")[2].replace("-", "−")
    title = _("{predictor} ≥ {number} years").format(
        predictor=_(PREDICTOR_NAMES.get(row.predictor or "", row.predictor or "")), number=number
    )
    return Row(cells=(Cell(text=title), Cell(text=events_of(row)), *cells), kind="indent")
