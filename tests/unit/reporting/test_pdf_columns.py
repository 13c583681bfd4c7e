"""Columns of paper: wide enough for what must not break, together as wide as the page."""

from __future__ import annotations

import pytest

from spinescore.core.reporting.document import Cell, Column, Row, Table
from spinescore.shell.column_widths import SIZES_REM, TEXT_WIDTH_MM, lay_out


def table(*rows: tuple[str, ...], heads: tuple[str, ...], spanner: str = "") -> Table:
    columns = tuple(
        Column(label=head, align="left" if i == 0 else "right", spanner=spanner if i else "")
        for i, head in enumerate(heads)
    )
    cells = tuple(Row(cells=tuple(Cell(text=text) for text in row)) for row in rows)
    return Table(key="t", title="t", columns=columns, rows=cells)


def test_shares_are_of_the_whole_width() -> None:
    layout = lay_out(table(("a", "1"), ("b", "2"), heads=("Name", "n")))
    assert sum(layout.shares) == pytest.approx(100, abs=0.05)
    assert layout.density == 0


def test_a_column_of_longer_numbers_is_wider() -> None:
    shares = lay_out(table(("a", "1.00", "1.00 (0.50–2.00)"), heads=("", "HR", "HR"))).shares
    assert shares[2] > 2 * shares[1]


def test_long_text_yields_to_numbers_that_do_not_break() -> None:
    words = "subjects complete for all models of this study, whatever the model, and no others " * 3
    narrow = "1.00 (0.50–2.00)"
    layout = lay_out(table((words, narrow, narrow, narrow), heads=("What", "A", "B", "C")))
    least = 8 * SIZES_REM[0] * 9.6 * 25.4 / 72  # 16 characters of half an em
    assert all(share / 100 * TEXT_WIDTH_MM > least for share in layout.shares[1:])
    assert layout.shares[0] > 30


def test_a_table_too_wide_is_set_smaller_but_never_below_six_points() -> None:
    wide = tuple("1.00 (0.50–2.00)" for _ in range(12))
    layout = lay_out(table(("a", *wide), heads=("Name", *"ABCDEFGHIJKL")))
    assert layout.density == len(SIZES_REM) - 1
    assert min(SIZES_REM) * 9.6 > 6
    fitting = lay_out(table(("a", *wide[:7]), heads=("Name", *"ABCDEFG")))
    assert 0 < fitting.density < len(SIZES_REM) - 1


def test_columns_under_a_common_head_hold_it_together() -> None:
    plain = lay_out(table(("a name of some length", "1", "2"), heads=("Name", "x", "y"))).shares
    under = lay_out(
        table(
            ("a name of some length", "1", "2"),
            heads=("Name", "x", "y"),
            spanner="Hazard ratio per SD of PAD",
        )
    ).shares
    assert sum(under[1:]) > sum(plain[1:])


def test_korean_is_as_wide_as_its_squares() -> None:
    latin = lay_out(table(("ab", "1"), ("ab", "1"), heads=("x", "y"))).shares[0]
    korean = lay_out(table(("골절위험", "1"), ("골절위험", "1"), heads=("x", "y"))).shares[0]
    assert korean > latin
