"""What a shareable report says of itself."""

from __future__ import annotations

from dataclasses import replace

from spinescore.core.reporting.document import Block, Callout, Paragraph, Report, Section
from spinescore.core.reporting.formatting import RULE
from spinescore.core.reporting.language import gettext as _


def mark_shareable(report: Report, k: int) -> Report:
    """Return a report that says on its first page and in its limits what was left out and rounded.

    Parameters
    ----------
    report : Report
        Made from what ``make_shareable`` returned.
    k : int
        The least count.
    """
    facts = (
        *report.facts,
        (_("Shareable"), _("no rows of single people; counts rounded to {k}").format(k=k)),
    )
    sections = tuple(_marked(section, k) for section in report.sections)
    return replace(report, facts=facts, sections=sections)


def _marked(section: Section, k: int) -> Section:
    blocks: list[Block] = []
    for block in section.blocks:
        if isinstance(block, Paragraph) and block.text == _(RULE):
            block = Paragraph(text=_rule_text(k))
        blocks.append(block)
    if section.key == "limits":
        title = _("What was done so that this report can be shared")
        blocks.append(Callout(title=title, items=_limits(k), severity="note"))
    return replace(section, blocks=tuple(blocks))


def _rule_text(k: int) -> str:
    return _(
        "Counts are rounded to multiples of {k}; a dash stands for fewer than {k}, perhaps none. "
        "results.json and results.parquet hold the numbers as they are printed here, not in full "
        "precision."
    ).format(k=k)


def _limits(k: int) -> tuple[str, ...]:
    return tuple(
        text.format(k=k)
        for text in (
            _(
                "There are no points, pictures, dates or ages of single people, and no paths or ids. "
                "Scatter plots are left out; times are on a grid of quarter years, quantiles on a coarser"
                " one."
            ),
            _(
                "Running totals of counts were rounded down to multiples of {k}, and every count is the "
                "difference of two of them: it is less than {k} away from the truth, and parts still add "
                "up to their whole. Counts that round to 0, and estimates from fewer than {k} subjects or"
                " events, are not shown."
            ),
            _(
                "Percentages, crude rates and their intervals were computed again from rounded counts and"
                " person-years; risks, survival and net benefit are multiples of {k} subjects. Lines step"
                " only where {k} more events have accrued and end where fewer than twice {k} are at risk "
                "in some group."
            ),
            _(
                "Ratios, areas and coefficients were computed from the exact data and are given with the "
                "digits that are printed."
            ),
            _(
                "Before it was written, the data files were read back and linear programmes tried to "
                "bound each count within fewer than {k} possible numbers; none could be. That is no proof"
                " against a reader who knows more, and two releases of nearly the same cohort can be "
                "subtracted from each other."
            ),
        )
    )
