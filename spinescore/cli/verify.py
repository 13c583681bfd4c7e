"""verify: the statistics of this installation, held against R's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from spinescore.cli.console import Json, Output, Quiet

if TYPE_CHECKING:
    from spinescore.core.verification.case import Comparison, Outcome
    from spinescore.core.verification.verification import Verification

HEADS = ("spinescore", "R", "relative", "tolerance", "agrees")
WIDTHS = (17, 17, 11, 10, 7)
WIDEST = 118
NARROWEST_LABEL = 18
INDENT = 4


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(verify)


def verify(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the document: HTML, PDF, and every number as JSON and CSV."),
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Print the totals and what does not agree.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold every statistic that R also has against R's number, on this machine; status 1 if one differs."""
    from spinescore.core.verification.verification import verification_json
    from spinescore.verify import verify_statistics, write_verification

    output = Output(as_json, quiet)
    found = verify_statistics()
    for family, outcomes in found.families:
        shown = [o for o in outcomes if not brief or not o.agrees]
        for line in _family_lines(family.title, shown) if shown else ():
            output.say(line)
    for line in _totals(found):
        output.say(line)
    if out is not None:
        files, warnings = write_verification(found, out)
        output.say("\n".join(f"{'' if n else 'Written:':<10}{file}" for n, file in enumerate(files)))
        for warning in warnings:
            output.say(f"warning: {warning}")
    output.emit(verification_json(found))
    if not found.agrees:
        raise typer.Exit(1)


def _family_lines(title: str, outcomes: list[Outcome]) -> Iterator[str]:
    """Yield a family's cases, each under its convention and R's call, numbers in columns."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    heads = "".join(f"{head:>{size}}" for head, size in zip(HEADS, WIDTHS, strict=True))
    label = max(width - sum(WIDTHS), NARROWEST_LABEL)
    yield f"\n{title.upper()}"
    yield f"{'':{label}}{heads}"
    yield "─" * (label + sum(WIDTHS))
    for outcome in outcomes:
        yield outcome.case.title
        for text in (outcome.case.convention, f"R: {outcome.case.call}"):
            for line in wrap(text, width - INDENT):
                yield f"{'':{INDENT - 2}}{line}"
        if outcome.problem:
            yield f"{'':{INDENT}}not computed: {outcome.problem}"
        for comparison in outcome.comparisons:
            yield from _comparison_lines(comparison, label)
        yield ""


def _comparison_lines(comparison: Comparison, label: int) -> Iterator[str]:
    from spinescore.core.verification.document import format_digits, format_small, format_tolerance

    at = comparison.furthest
    cells = (
        format_digits(comparison.ours[at]),
        format_digits(comparison.reference[at]),
        format_small(float(comparison.relative_differences[at])),
        format_tolerance(comparison.tolerance),
        "yes" if comparison.agrees else "NO",
    )
    numbers = "".join(f"{cell:>{size}}" for cell, size in zip(cells, WIDTHS, strict=True))
    first, *rest = wrap(comparison.statistic, label - INDENT)
    yield f"{'':{INDENT}}{first:<{label - INDENT}}{numbers}"
    for line in rest:
        yield f"{'':{INDENT}}{line}"


def _totals(found: Verification) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, WIDEST)
    software = ", ".join(f"{name} {version}" for name, version in found.software.items())
    reference = ", ".join(f"{name} {version}" for name, version in found.references.versions().items())
    for head, text in (
        ("Here:", f"{software}; {found.platform}"),
        ("R:", reference.removeprefix("R ")),
        ("Compared:", f"{found.n_numbers:,} numbers of {len(found.outcomes)} calls of R"),
        ("Result:", f"{found.verdict}."),
    ):
        for number, line in enumerate(wrap(text, width - 10)):
            yield f"{'' if number else head:<10}{line}"
