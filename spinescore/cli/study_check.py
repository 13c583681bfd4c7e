"""study check: what a study file would find, as a person or a machine reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import Json, Output, Quiet

if TYPE_CHECKING:
    from spinescore.check_study import StudyCheck
    from spinescore.domain import Cohort

COLUMN_HEADS = ("column", "as", "known", "of", "values")
ENDPOINT_HEADS = ("endpoint", "at risk", "events", "competing", "person-years")
ENDPOINT_KEYS = ("endpoint", "at_risk", "events", "competing", "person_years")
ATTRITION_HEADS = ("step", "left", "why", "remain")


def check(
    study_file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    unmatched_to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write who has no image, and who has no row, to a .csv, .parquet or .json file.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a study file and count what it would find; nothing is scored, fitted or stored."""
    from spinescore.check_study import check_study
    from spinescore.study import read_study

    study = read_study(study_file)
    found = check_study(study)
    output = Output(as_json, quiet)
    output.say(f"{study_file}: every key is understood.")
    _say_table(output, found)
    _say_images(output, found, study.model.imported)
    if unmatched_to is not None:
        _write_unmatched(output, found, unmatched_to)
    for cohort in found.cohorts:
        title = f"{cohort.name}: {cohort.subjects.height:,} subjects"
        output.table(title, ENDPOINT_HEADS, _endpoint_rows(cohort))
        output.table("Who leaves, and why", ATTRITION_HEADS, _attrition_rows(cohort))
    for title, lines in (("warning", found.warnings), ("to do", found.missing), ("problem", found.problems)):
        for line in lines:
            output.say(f"{title}: {line}")
    output.emit(_as_json(found))
    if found.problems:
        raise typer.Exit(1)


def _say_table(output: Output, found: StudyCheck) -> None:
    for message in found.messages:
        output.say(message)
    rows = [(c.name, c.role, c.n_known, c.n_rows, c.values) for c in found.columns]
    output.table("What the follow-up table holds", COLUMN_HEADS, rows)


def _say_images(output: Output, found: StudyCheck, imported: str | None) -> None:
    if found.counts and imported is not None:
        output.say(f"Ages: {found.counts['scored']:,} imported as `{imported}`")
    elif found.counts:
        output.say(
            f"Images: {found.counts['images']:,} indexed, {found.counts['scored']:,} scored by this model"
        )
    for side, reason, n in _unmatched_counts(found):
        output.say(f"Unmatched {side}: {n:,} ({reason})")
    for kind, name, n in found.references:
        output.say(f"Correction of {kind} ages: fitted on {n:,} subjects of `{name}`")


def _write_unmatched(output: Output, found: StudyCheck, file: Path) -> None:
    """Write who is unmatched to a file for its owner alone, unless nobody was looked for."""
    from spinescore.shell.tabular import write_table

    if not found.unmatched.columns:
        found.missing.append(f"{file} is not written: table and images could not be held against each other")
        return
    write_table(found.unmatched, file)
    file.chmod(0o600)
    output.say(f"Unmatched, one by one: {file}")


def _unmatched_counts(found: StudyCheck) -> list[tuple[str, str, int]]:
    if found.unmatched.is_empty():
        return []
    sides = {"table": "rows of the table", "images": "subjects of the images"}
    counts = found.unmatched.group_by("side", "reason", maintain_order=True).len()
    return [(sides[side], reason, n) for side, reason, n in counts.rows()]


def _endpoint_rows(cohort: Cohort) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for endpoint, at_risk in cohort.follow_up.items():
        status = at_risk["status"]
        years = float((at_risk["exit_years"] - at_risk["entry_years"]).sum())
        rows.append(
            (endpoint, at_risk.height, int((status == 1).sum()), int((status == 2).sum()), round(years))
        )
    return rows


def _attrition_rows(cohort: Cohort) -> list[tuple[object, ...]]:
    """Return where it begins, from each side, and every step at which somebody leaves."""
    rows: list[tuple[object, ...]] = []
    for position, row in enumerate(cohort.attrition.iter_rows(named=True)):
        if row["n_excluded"] or not position or row["step"] == "in the follow-up table":
            step = f"{row['step']}: {row['endpoint']}" if row["endpoint"] else row["step"]
            rows.append((step, row["n_excluded"], row["reason"], f"{row['n_remaining']:,} {row['unit']}"))
    return rows


def _as_json(found: StudyCheck) -> dict[str, Any]:
    return {
        "messages": found.messages,
        "columns": [
            {"name": c.name, "as": c.role, "known": c.n_known, "rows": c.n_rows, "values": c.values}
            for c in found.columns
        ],
        "counts": found.counts,
        "unmatched": [
            {"side": side, "reason": reason, "n": n} for side, reason, n in _unmatched_counts(found)
        ],
        "references": [{"kind": k, "cohort": name, "subjects": n} for k, name, n in found.references],
        "cohorts": [
            {
                "cohort": cohort.name,
                "subjects": cohort.subjects.height,
                "endpoints": [dict(zip(ENDPOINT_KEYS, row, strict=True)) for row in _endpoint_rows(cohort)],
                "attrition": cohort.attrition.to_dicts(),
            }
            for cohort in found.cohorts
        ],
        "warnings": found.warnings,
        "to_do": found.missing,
        "problems": found.problems,
    }
