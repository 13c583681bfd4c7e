"""Which section answers each item of STROBE, TRIPOD+AI and STARD, and what is left to the author."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spinescore.core.reporting.checklist_items import STARD, STROBE, TRIPOD_AI, Item
from spinescore.core.reporting.document import Block, Cell, Column, Paragraph, References, Row, Section, Table
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.material import Material

SOURCES = (
    "von Elm E et al. The Strengthening the Reporting of Observational Studies in Epidemiology (STROBE) "
    "statement. Lancet 2007;370:1453-7.",
    "Collins GS et al. TRIPOD+AI statement. BMJ 2024;385:e078378.",
    "Bossuyt PM et al. STARD 2015. BMJ 2015;351:h5527.",
)


def checklist_section(material: Material, sections: Sequence[Section]) -> Section:
    """Map every item to the sections this report has, or to the author."""
    titles = {section.key: section.title for section in sections}
    blocks: list[Block] = [
        Paragraph(
            text=_(
                "Items are given in short; the statements themselves have the full wording. A section named "
                "here holds material on the item; whether it satisfies the item is for author and editor to "
                "judge."
            )
        ),
        checklist_table("strobe", _("STROBE, cohort studies"), STROBE, titles),
        checklist_table("tripod-ai", "TRIPOD+AI", TRIPOD_AI, titles),
    ]
    if material.binary:
        blocks.append(checklist_table("stard", "STARD 2015", STARD, titles))
    blocks.append(References(items=SOURCES if material.binary else SOURCES[:2]))
    return Section(key="checklists", title=_("Reporting checklists"), blocks=tuple(blocks))


def checklist_table(key: str, name: str, items: Sequence[Item], titles: Mapping[str, str]) -> Table:
    """List the items of one checklist with the section and the author's part."""
    rows = tuple(Row(cells=tuple(Cell(text=text) for text in _texts(item, titles))) for item in items)
    columns = (
        Column(label=_("Item"), align="left", width=8),
        Column(label=_("What it asks"), align="left", width=36),
        Column(label=_("In this report"), align="left", width=30),
        Column(label=_("Author to supply"), align="left", width=26),
    )
    return Table(key=key, title=name, columns=columns, rows=rows)


def _texts(item: Item, titles: Mapping[str, str]) -> tuple[str, str, str, str]:
    found = "; ".join(titles[key] for key in item.where if key in titles)
    if found:
        left = _(item.author) if item.author else ""
    else:
        left = _("the item: {what}").format(what=_(item.author)) if item.author else _("the item")
    return item.number, _(item.topic), found, left
