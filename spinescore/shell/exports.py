"""Tables and figures as files of their own, for those who write the paper."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Mapping

from spinescore.core.reporting.document import Figure, Flow, Report, Table
from spinescore.core.reporting.flow_drawing import draw_flow
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import language
from spinescore.shell.render import Chart, environment

FORMULA_STARTS = ("=", "+", "-", "@")
SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b"
SPLIT_FORMULA = re.compile(rf"([;,\t\n|][\s\"'\u200b\u2060\ufeff]*)(?=[{SIGNS}])")


def export_tables(report: Report) -> dict[str, bytes]:
    """Return every table as CSV and as HTML that pastes into Word, by file name."""
    files = {}
    for table in report.tables():
        stem = f"tables/table-{table.number:02d}-{table.key}"
        files[f"{stem}.csv"] = table_csv(table).encode("utf-8-sig")
        files[f"{stem}.html"] = table_word(report, table).encode()
    return files


def export_figures(report: Report, charts: Mapping[str, Chart]) -> dict[str, bytes]:
    """Return every figure as SVG, flow diagrams among them, by file name."""
    files = {}
    for block in report.blocks():
        if isinstance(block, Figure):
            svg = str(charts[block.key].svg)
        elif isinstance(block, Flow):
            svg = draw_flow(block)
        else:
            continue
        files[f"figures/figure-{block.number:02d}-{block.key}.svg"] = svg.encode()
    return files


def table_word(report: Report, table: Table) -> str:
    """Return a table as a page whose styles survive pasting into Word."""
    return str(
        environment()
        .get_template("word-table.html.j2")
        .render(
            table=table,
            name=_("Table {number}").format(number=table.number),
            banner=report.banner,
            language=language(),
        )
    )


def table_csv(table: Table) -> str:
    """Return a table as CSV, the numbers as printed; text that a spreadsheet would run is quoted out.

    Notes follow below the rows, so that a number never travels without its caution.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads = [f"{c.spanner}: {c.label}" if c.spanner else c.label for c in table.columns]
    writer.writerow([inert(head.replace("\n", ", ")) for head in heads])
    for row in table.rows:
        writer.writerow([inert(_cell_text(cell.text, cell.detail, cell.marks)) for cell in row.cells])
    number = _("Table {number}.").format(number=table.number)
    for text in (f"{number} {table.title}", table.caption):
        writer.writerow([inert(text)])
    for mark, note in table.footnotes:
        writer.writerow([inert(f"[{mark}] {note}")])
    return buffer.getvalue()


def inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula, wherever it splits the line.

    Leading blanks are skipped by spreadsheets, full-width signs are read as signs, and where the list
    separator is a semicolon a cell ends within what is one here.

    >>> inert(" =1+1"), inert("\\uff1d1+1"), inert("a;=1"), inert("1 + 1")
    ("' =1+1", "'\\uff1d1+1", "a;'=1", '1 + 1')
    """
    safe = SPLIT_FORMULA.sub(r"\1'", unicodedata.normalize("NFC", text))
    start = unicodedata.normalize("NFKC", text).lstrip(' \t\r\n\v\f\xa0\u200b\u2060\ufeff"')
    return f"'{safe}" if start.startswith(FORMULA_STARTS) or text.startswith(("\t", "\r")) else safe


def _cell_text(text: str, detail: str, marks: str) -> str:
    noted = f"{text} [{marks}]" if marks else text
    return f"{noted}; {detail}" if detail else noted
