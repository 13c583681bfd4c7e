"""Multiplicity: p values of declared families with what they are when adjusted for one another."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import Cell, Column, Paragraph, Row, Section, Table
from spinescore.core.reporting.formatting import describe_cautions, estimate_cell, events_of, format_p, p_cell
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.stored_words import stored_text
from spinescore.core.reporting.tables import head_row
from spinescore.domain import Result

TITLE = marked("Multiplicity")
READING = marked(
    "The study file declared families of estimates whose p values are adjusted together. "
    "The authors chose them; this report cannot know whether that was before the data were "
    "seen. The primary estimate was declared by itself and needs no adjustment to be read "
    "as such."
)


def multiplicity_section(material: Material) -> Section:
    """Show each family's p values as they are and adjusted; empty where no family was declared."""
    table = family_table(material)
    blocks = () if table is None else (Paragraph(text=_(READING)), table)
    return Section(key="multiplicity", title=_(TITLE), blocks=blocks)


def family_table(material: Material) -> Table | None:
    """Show the estimates of each family with plain, Holm's and Benjamini-Hochberg's p; None without any."""
    families = dict.fromkeys(
        row.family
        for row in material.results
        if row.analysis == "multiplicity" and row.method == "holm" and row.family
    )
    rows = [row for family in families for row in _family_rows(material, family)]
    if not rows:
        return None
    return Table(
        key="multiplicity",
        title=_("p values of the declared families, adjusted within each"),
        columns=(
            Column(label=_("Outcome"), align="left"),
            Column(label=_("Cohort, model"), align="left"),
            Column(label=_("Events / n")),
            Column(label=_("Ratio per SD of PAD ({level} CI)").format(level=material.level_percent)),
            Column(label="p"),
            Column(label=_("Holm"), spanner=_("Adjusted p")),
            Column(label=_("Benjamini–Hochberg"), spanner=_("Adjusted p")),
        ),
        rows=tuple(rows),
        caption=_(
            "Hazard ratios (cause-specific where events compete) of outcomes over time, odds "
            "ratios of prevalent ones; main models, each on its own complete cases. Holm: chance "
            "of any false rejection in the family; Benjamini–Hochberg: expected share of false "
            "ones among the rejected. Intervals are not adjusted. Adjustment makes no association "
            "causal and no small study large."
        ),
    )


def _family_rows(material: Material, family: str) -> Iterator[Row]:
    keys = {"term": family, "family": family, "method": "holm"}
    found = [
        (cohort, row)
        for cohort in material.cohorts
        for row in material.results.every(cohort, "multiplicity", "p_adjusted", **keys)
    ]
    counted = next((stored_text(row.note) for _, row in found if row.note), None)
    yield head_row(
        _("Family: {family} ({counted})").format(family=family, counted=counted)
        if counted
        else _("Family: {family}").format(family=family)
    )
    for cohort, holm in found:
        yield _adjusted_row(material, cohort, holm)


def _adjusted_row(material: Material, cohort: str, holm: Result) -> Row:
    keys = {name: getattr(holm, name) for name in ("endpoint", "cause", "model", "sample", "predictor")}
    other = material.results.find(
        cohort, "multiplicity", "p_adjusted", term=holm.term, method="benjamini_hochberg", **keys
    )
    names = ("logistic", "or_per_sd") if holm.endpoint in material.binary else ("cox", "hr_per_sd")
    own = material.results.find(cohort, *names, **keys)
    primary = own is not None and "primary" in own.flags
    cells = (
        Cell(text=material.endpoint_title(holm.endpoint or "")),
        Cell(text=_("{cohort}, {model} (primary)").format(cohort=cohort, model=holm.model))
        if primary
        else Cell(text=f"{cohort}, {holm.model}"),
        Cell(text=events_of(own)),
        estimate_cell(own, "ratio"),
        p_cell(own),
        _adjusted_cell(holm),
        _adjusted_cell(other),
    )
    return Row(cells=cells, kind="indent")


def _adjusted_cell(row: Result | None) -> Cell:
    notes = describe_cautions(row) if row is not None and row.value is None else ()
    return Cell(text=format_p(row.value if row else None), notes=notes)
