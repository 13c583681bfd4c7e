"""analyze, report, outcomes: what a study file asks for, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spinescore.cli.console import EXIT_PARTIAL, Json, Output, Quiet, report_line, stage_line

if TYPE_CHECKING:
    from spinescore.run import RunSummary
    from spinescore.study import Study

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(outcomes)
    app.command()(analyze)
    app.command()(report)


def report(
    study_file: StudyFile,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report; the study's own by default.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Language of the report, en or ko; the study file's by default."),
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="Render the stored results again; compute nothing.")
    ] = False,
    shareable: Annotated[
        bool,
        typer.Option(
            "--shareable",
            help="Render the stored results without rows of single people and with rounded counts, into "
            "OUTPUT/shareable; checked before anything is written.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --shareable: an earlier release that readers may have; checked together.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring results up to date from the scores in the database and write the HTML and PDF report."""
    from spinescore.run import render_study, report_study, share_study
    from spinescore.shell.catalogues import read_catalogue

    if against is not None and not shareable:
        raise typer.BadParameter("goes with --shareable", param_hint="--against")

    study = read(study_file)
    if out is not None:
        study = study.model_copy(update={"study": study.study.model_copy(update={"output": out.resolve()})})
    if language is not None:
        read_catalogue(language)  # said before anything is computed
        study = study.model_copy(update={"study": study.study.model_copy(update={"language": language})})
    output = Output(as_json, quiet)
    with output.listening() as listener:
        if shareable:
            summary = share_study(study, listener, against=against)
        else:
            summary = render_study(study, listener) if only else report_study(study, listener)
    _finish(output, study, summary, folder=study.study.output / "shareable" if shareable else None)


def outcomes(
    action: Annotated[str, typer.Argument(help="`import`: read the study's follow-up table.")],
    study_file: StudyFile,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read the study's follow-up table into the database (run and report do it for you)."""
    from spinescore.outcomes import import_outcomes
    from spinescore.shell.warehouse import open_warehouse

    if action != "import":
        raise typer.BadParameter("the only action is `import`", param_hint="ACTION")
    study = read(study_file)
    output = Output(as_json, quiet)
    with open_warehouse(study.study.database, create=True) as warehouse:
        stage = import_outcomes(warehouse, study)
    output.say(stage_line(stage))
    output.emit({"changed": stage.changed, **stage.counts})


def analyze(study_file: StudyFile, as_json: Json = False, quiet: Quiet = False) -> None:
    """Compute the study's results and store them; nothing if nothing changed."""
    from spinescore.analyze import analyze as analyze_study
    from spinescore.listener import told_elsewhere
    from spinescore.run import model_key
    from spinescore.shell.warehouse import open_warehouse

    study = read(study_file)
    output = Output(as_json, quiet)
    with (
        open_warehouse(study.study.database) as warehouse,
        output.listening() as heard,
        told_elsewhere(heard, warehouse, "spinescore analyze", study.study.title) as listener,
    ):
        listener.stage("analyze")
        stage = analyze_study(warehouse, study, model_key(warehouse, study), announce=listener.announce)
        listener.done(stage)
    output.emit({"changed": stage.changed, **stage.counts})


def read(study_file: Path) -> Study:
    """Read the study file, importing its reader only now."""
    from spinescore.study import read_study

    return read_study(study_file)


def _finish(output: Output, study: Study, summary: RunSummary, folder: Path | None = None) -> None:
    name = "report" if folder is None else "shareable-report"
    output.say(report_line(folder or study.study.output, name))
    output.emit(
        {
            "changed": summary.changed,
            "report": str(folder or study.study.output),
            "stages": [
                {"stage": s.stage, "changed": s.changed, "message": s.message, "counts": dict(s.counts)}
                for s in summary.stages
            ],
        }
    )
    if summary.partial:
        raise typer.Exit(EXIT_PARTIAL)
