"""What a paper would put into its supplement: long tables, and figures of endpoints but the primary one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from spinescore.core.reporting.document import (
    Block,
    Figure,
    Heading,
    Paragraph,
    Report,
    Section,
    Table,
    make_key,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.material import Material

LONG_TABLES = frozenset(
    {
        "accuracy-subgroups",
        "restricted-mean",
        "covariates",
        "fine-gray",
        "spline",
        "subgroups",
        "subgroup-predictions",
        "concordance",
        "proportional-hazards",
        "horizon-auc-models",
        "brier",
        "calibration",
        "net-benefit",
        "sensitivity-models",
        "missing-covariates",
    }
)
OF_PRIMARY = ("calibration-", "decision-", "hazards-", "spline-", "subgroups-")
WHOLE_SECTIONS = frozenset({"checklists"})


def move_to_supplement(sections: Sequence[Section], material: Material) -> tuple[Section, ...]:
    """Return the sections of the report, then those of its supplement; nothing is left out.

    A section that loses something says so; a heading that is left with nothing below it goes.
    """
    main: list[Section] = []
    moved: list[Section] = []
    for section in sections:
        if section.key in WHOLE_SECTIONS:
            moved.append(replace(section, supplementary=True))
            continue
        away = tuple(block for block in section.blocks if _belongs_there(block, material))
        if not away:
            main.append(section)
            continue
        kept = _without_bare_headings([block for block in section.blocks if block not in away])
        pointer = Paragraph(text=_("Further tables and figures of this section stand in the supplement."))
        main.append(replace(section, blocks=(*kept, pointer)))
        title = _("Supplement: {section}").format(section=section.title)
        moved.append(Section(key=f"{section.key}-more", title=title, blocks=away, supplementary=True))
    return (*main, *moved)


def split_report(report: Report) -> tuple[Report, Report | None]:
    """Return the report without its supplement, and the supplement as a document, if there is one."""
    main = tuple(section for section in report.sections if not section.supplementary)
    more = tuple(section for section in report.sections if section.supplementary)
    if not more:
        return report, None
    title = _("{title}: supplement").format(title=report.title)
    return replace(report, sections=main), replace(report, title=title, facts=(), sections=more)


def _belongs_there(block: Block, material: Material) -> bool:
    if isinstance(block, Table):
        return block.key in LONG_TABLES
    if not isinstance(block, Figure) or material.primary_endpoint is None:
        return False
    primary = make_key(material.primary_endpoint)
    return any(
        block.key.startswith(prefix) and not block.key.startswith(f"{prefix}{primary}")
        for prefix in OF_PRIMARY
    )


def _without_bare_headings(blocks: Sequence[Block]) -> list[Block]:
    followed = [*blocks[1:], None]
    return [
        block
        for block, after in zip(blocks, followed, strict=True)
        if not (isinstance(block, Heading) and (after is None or isinstance(after, Heading)))
    ]
