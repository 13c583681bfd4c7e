"""calibrate fit|apply|show: bias corrections as files that are made, used and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import (
    CORRECTION_COLUMNS,
    Json,
    Output,
    Quiet,
    correction_rows,
    stage_line,
)
from spinescore.cli.study import StudyFile, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spinescore.domain import Correction, StageSummary

app = typer.Typer(
    help="Bias corrections: fitted once on a reference cohort, applied to others.", no_args_is_help=True
)
AcrossKinds = Annotated[
    bool,
    typer.Option("--across-kinds", help="Let a correction of one kind of image correct the other; flagged."),
]
SameCohort = Annotated[
    bool,
    typer.Option("--same-cohort", help="Let it correct the very subjects it was fitted on; flagged."),
]
FILE_SUFFIX = ".json"


@app.command()
def fit(
    study_file: StudyFile,
    output: Annotated[
        Path | None, typer.Option(help="Write the corrections to this file too (JSON).", show_default=False)
    ] = None,
    cross_fit: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100,
            help="Folds: subjects it is fitted on are corrected by a fit that leaves them out; flagged.",
            show_default=False,
        ),
    ] = None,
    same_cohort: SameCohort = False,
    across_kinds: AcrossKinds = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit the study's correction per kind on its reference cohorts and apply it to all scores."""
    from spinescore.calibrate import fit_corrections
    from spinescore.run import model_key
    from spinescore.shell.corrections import refuse_other_file, write_correction_file
    from spinescore.shell.warehouse import open_warehouse

    if cross_fit is not None and same_cohort:
        raise typer.BadParameter("is what --cross-fit avoids: give one of them", param_hint="--same-cohort")
    study = read(study_file)
    asked = _changed(cross_fit=cross_fit, same_cohort=same_cohort, across_kinds=across_kinds)
    if cross_fit is not None or same_cohort:
        asked = {"cross_fit": None, "same_cohort": False} | asked
    settings = study.correction.model_copy(update=asked)
    if output is not None:
        refuse_other_file(output)
    out = Output(as_json, quiet)
    with open_warehouse(study.study.database) as warehouse:
        key = model_key(warehouse, study)
        asked_study = study.model_copy(update={"correction": settings})
        stage, corrections = fit_corrections(warehouse, asked_study, key)
    out.say(stage_line(stage))
    if output is not None:
        write_correction_file(output, corrections)
        out.say(f"Written: {output}")
    if settings != study.correction:
        out.say("The study file does not ask for these options: its next run fits without them.")
    _emit(out, stage, corrections)


@app.command("apply")
def apply_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.json", help="A file of `calibrate fit --output`, or a bundle's.")
    ],
    study_file: Annotated[
        Path | None, typer.Argument(metavar="STUDY.toml", help="The study whose scores it corrects.")
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(
            "--database", "-d", help="Or a database: all scores of the file's model.", show_default=False
        ),
    ] = None,
    same_cohort: SameCohort = False,
    across_kinds: AcrossKinds = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Apply the corrections of a file, fitting nothing; refused if they are of another model or kind."""
    from spinescore.calibrate import apply_to_database, calibrate
    from spinescore.run import model_key
    from spinescore.shell.corrections import read_correction_file
    from spinescore.shell.warehouse import open_warehouse

    if (study_file is None) == (database is None):
        raise typer.BadParameter("give a study file or --database, one of them", param_hint="STUDY.toml")
    corrections = read_correction_file(file)
    output = Output(as_json, quiet)
    if database is not None:
        with open_warehouse(database) as warehouse:
            stage = apply_to_database(warehouse, file, across_kinds=across_kinds)
    else:
        assert study_file is not None
        study = read(study_file)
        asked: dict[str, Any] = _changed(same_cohort=same_cohort, across_kinds=across_kinds)
        asked |= {"file": str(file), "reference": {}, "cross_fit": None}
        settings = study.correction.model_copy(update=asked)
        with open_warehouse(study.study.database) as warehouse:
            key = model_key(warehouse, study)
            stage = calibrate(warehouse, study.model_copy(update={"correction": settings}), key)
        if study.correction.file is None or Path(study.correction.file).resolve() != file.resolve():
            output.say(
                "The study file does not name it, and its next run corrects as that says. To keep it: "
                f'file = "{file}" under [correction].'
            )
    output.say(stage_line(stage))
    _emit(output, stage, corrections)


@app.command()
def show(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY.toml|FILE.json", help="A study, for those in force, or a correction file."
        ),
    ],
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the charts too (HTML).", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw the fit: PAD on age before and after, and every age's n, mean and SD."""
    from spinescore.shell.corrections import read_correction_file, write_correction_page

    output = Output(as_json)
    if source.suffix.lower() == FILE_SUFFIX:
        corrections: Sequence[Correction] = read_correction_file(source)
        stored: list[dict[str, Any]] = []
    else:
        corrections, stored = _stored(source, output)
    for correction in corrections:
        _draw(output, correction)
    if html is not None:
        write_correction_page(html, corrections)
        output.say(f"Written: {html}")
    output.emit({"corrections": stored, "drawn": _entries(corrections)})


def _stored(study_file: Path, output: Output) -> tuple[Sequence[Correction], list[dict[str, Any]]]:
    """List what the study's database holds and return what is in force for its model and method."""
    from spinescore.run import model_key
    from spinescore.shell.corrections import correction_method, corrections_in_force
    from spinescore.shell.warehouse import open_warehouse

    study = read(study_file)
    with open_warehouse(study.study.database) as warehouse:
        listed = warehouse.fetch("calibrate/list")
        key = model_key(warehouse, study)
        in_force = corrections_in_force(warehouse, key, correction_method(study, key))
    output.table("Corrections, newest first", CORRECTION_COLUMNS, correction_rows(listed))
    if not in_force:
        output.say("None that can be drawn is in force: `spinescore calibrate fit STUDY.toml` makes one.")
    return in_force, listed.to_dicts()


def _draw(output: Output, correction: Correction) -> None:
    from spinescore.core.correction_drawing import describe_lines, draw_bars, draw_fit

    for lines in (describe_lines(correction), draw_fit(correction), draw_bars(correction)):
        output.say("\n".join(lines))
        output.say()


def _changed(**options: object) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value}


def _emit(output: Output, stage: StageSummary, corrections: Sequence[Correction]) -> None:
    output.emit({"changed": stage.changed, **stage.counts, "fits": _entries(corrections)})


def _entries(corrections: Sequence[Correction]) -> list[Any]:
    from spinescore.core.correction_artefact import correction_entries

    return correction_entries(corrections)
