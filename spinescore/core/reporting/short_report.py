"""The report for those who read two pages: its first page and what bears it, from the same values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spinescore.core.reporting.document import (
    Block,
    Callout,
    Figure,
    Paragraph,
    Report,
    Section,
    Table,
    make_key,
)
from spinescore.core.reporting.formatting import format_count, format_number
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import gettexts
from spinescore.core.reporting.material import Material, in_sentence
from spinescore.core.reporting.methods import LIMITS
from spinescore.core.reporting.summary import INTENDED_USE, primary_result

PAGES = 2
MOST_LIMITS = 3


def shorten(report: Report, material: Material) -> Iterator[Report]:
    """Yield the report in two pages: first with all that should stand there, then with less and less.

    Tables and figures keep the numbers that they have in the whole report. What yields first: accuracy, ROC
    curves, the other models, the incidence curves, the limits.
    """
    parts = _parts(report, material)
    while True:
        yield _put_together(report, material, [block for part in [*parts[1:], *parts[:1]] for block in part])
        if not parts:
            return
        parts.pop()


def _parts(report: Report, material: Material) -> list[list[Block]]:
    """Return what the second page holds, what matters most first."""
    blocks = {b.key: b for b in report.blocks() if isinstance(b, Table | Figure)}
    endpoint = material.primary_endpoint
    wanted = [
        f"incidence-{make_key(endpoint)}" if endpoint else "",
        "forest-models",
        f"roc-{make_key(material.binary[0])}" if material.binary else "",
        "accuracy",
    ]
    limits = Callout(
        title=_("Intended use and limits"),
        items=(_(INTENDED_USE), *gettexts(LIMITS[:MOST_LIMITS])),
        severity="note",
    )
    parts: list[list[Block]] = [[limits]]
    return parts + [[blocks[key]] for key in wanted if key in blocks]


def _put_together(report: Report, material: Material, blocks: list[Block]) -> Report:
    first = next(section for section in report.sections if section.key == "summary")
    texts = [
        *_follow_up(material),
        _("Tables and figures have the numbers they have in the whole report, which stands beside this one."),
    ]
    second = Section(
        key="essentials",
        title=_("What it rests on"),
        blocks=(*(Paragraph(text=text) for text in texts), *blocks),
    )
    return replace(report, title=_("{title}: summary").format(title=report.title), sections=(first, second))


def _follow_up(material: Material) -> Iterator[str]:
    """Say of each cohort how many were followed for the primary endpoint, and for how long."""
    for cohort in material.cohorts:
        hazard = primary_result(material, cohort)
        if hazard is None:
            continue
        keys = {"endpoint": hazard.endpoint, "group": None}
        time = material.results.find(cohort, "follow_up", "median_follow_up_years", **keys)
        followed = (
            _("; median follow-up {years} years").format(years=format_number(time.value, 1))
            if time is not None and time.value is not None
            else ""
        )
        yield _("{cohort}: {n} subjects followed for {endpoint}, {events} events{followed}.").format(
            cohort=material.cohort_title(cohort),
            n=format_count(hazard.n),
            events=format_count(hazard.events),
            endpoint=in_sentence(material.endpoint_title(hazard.endpoint or "")),
            followed=followed,
        )
