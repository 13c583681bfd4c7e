"""doctor: is everything here that spinescore needs, and does it work?"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spinescore.cli.console import EXIT_PARTIAL, Json, Output

if TYPE_CHECKING:
    from spinescore.core.diagnosis.finding import Finding

STATUS = {"pass": 0, "warn": EXIT_PARTIAL, "fail": 1}


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(doctor)


def doctor(
    database: Annotated[
        Path | None,
        typer.Option(
            "--database", "-d", envvar="SPINESCORE_DATABASE", help="Look at this one, too.", show_envvar=True
        ),
    ] = None,
    model: Annotated[str, typer.Option(metavar="BUNDLE", help="Whose files to check.")] = "demo",
    as_json: Json = False,
) -> None:
    """Look at all that spinescore needs on this machine; each line passes or says what to do.

    Exit status: 0 all pass, 3 something to look at (warn), 1 something does not work or is not safe (fail).
    """
    from spinescore.core.diagnosis.finding import worst
    from spinescore.doctor import DoctorRequest, examine

    output = Output(as_json)
    findings = []
    for finding in examine(DoctorRequest(database, model)):
        findings.append(finding)
        _show(output, finding)
    counts = Counter(finding.state for finding in findings)
    output.say(f"{counts['pass']} pass, {counts['warn']} warn, {counts['fail']} fail.")
    output.emit({"state": worst(findings), "findings": [asdict(finding) for finding in findings]})
    if status := STATUS[worst(findings)]:
        raise typer.Exit(status)


def _show(output: Output, finding: Finding) -> None:
    output.say(f"{finding.state:<4}  {finding.area}, {finding.name}: {finding.found}")
    if finding.advice:
        output.say(f"      -> {finding.advice}")
