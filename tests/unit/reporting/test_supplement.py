"""The supplement: nothing is lost, the main part keeps what matters, on paper they are two files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spinescore.core.reporting.document import Heading, Paragraph, Report, Section, Table
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.supplement import LONG_TABLES, move_to_supplement, split_report
from spinescore.shell.render import draw_charts, render_files, supplement_name
from spinescore.shell.side_printer import printing


def table(key: str) -> Table:
    return Table(key=key, title=key, columns=(), rows=())


def test_nothing_is_lost_and_a_section_says_what_it_gave(material: Material) -> None:
    text, head = Paragraph(text="t"), Heading(text="h")
    short, long, other = table("accuracy"), table("brier"), table("net-benefit")
    sections = (
        Section(key="a", title="A", blocks=(text, short)),
        Section(key="b", title="B", blocks=(text, head, long, replace(head, text="i"), other)),
        Section(key="checklists", title="C", blocks=(short,)),
    )
    a, b, more, checklists = move_to_supplement(sections, material)
    assert a is sections[0]
    assert b.blocks[0] is text
    assert len(b.blocks) == 2
    assert "supplement" in b.blocks[1].text  # type: ignore[union-attr]
    assert (more.key, more.blocks, more.supplementary) == ("b-more", (long, other), True)
    assert checklists.supplementary


def test_the_two_parts_are_the_report_with_its_numbers(report: Report) -> None:
    main, more = split_report(report)
    assert more is not None
    assert (*main.sections, *more.sections) == report.sections
    assert {t.key for t in more.tables()} & LONG_TABLES
    assert not {t.key for t in main.tables()} & LONG_TABLES
    numbers = [t.number for t in report.tables()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert more.banner == report.banner
    assert split_report(main) == (main, None)


def test_both_are_written_and_carry_the_banner(report: Report, tmp_path: Path) -> None:
    files, warnings = render_files(report, "report")
    assert warnings == ()
    assert set(files) == {"report.html", "report.pdf", "supplement.pdf"}
    assert supplement_name("shareable-report") == "shareable-supplement.pdf"
    assert all(files[name].startswith(b"%PDF-") for name in ("report.pdf", "supplement.pdf"))


def test_a_page_that_cannot_be_printed_says_why() -> None:
    with printing() as printer:
        printer.process._process.kill()
        printer.print("<html>")
        with pytest.raises(OSError, match="exit status -9"):
            printer.printed()


def test_charts_are_the_same_whoever_draws_them(report: Report) -> None:
    alone = draw_charts(report)
    with printing() as printer:
        assert draw_charts(report, printer) == alone
    with printing() as printer:
        printer.process._process.kill()
        assert draw_charts(report, printer) == alone
