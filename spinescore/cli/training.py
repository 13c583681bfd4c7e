"""train: a network of one's own, from an indexed database."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import EXIT_INTERRUPTED, Json, Output, Quiet
from spinescore.cli.study import StudyFile, read
from spinescore.cli.training_progress import watch_training

if TYPE_CHECKING:
    from spinescore.shell.bundles import Bundle
    from spinescore.shell.training.request import TrainingRequest
    from spinescore.study import Study

ACCURACY_COLUMNS = (
    "images",
    "n",
    "MAE raw",
    "bias raw",
    "r raw",
    "slope raw",
    "MAE corrected",
    "bias corrected",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(train)


def train(
    study_file: StudyFile,
    bundle: Annotated[Path, typer.Option("--output", help="The bundle's folder; written at the end.")],
    work: Annotated[
        Path | None,
        typer.Option(help="Working folder (images, checkpoint, curves); OUTPUT.work if left out."),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="Begin with a bundle's weights, whatever `initial_bundle` says.",
        ),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Train no further: write the bundle of the best epoch so far.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on the study's indexed images. Killed, the same command goes on where it was."""
    from spinescore.train import finish_training, require_lightning

    require_lightning()
    study = read(study_file)
    output = Output(as_json, quiet)
    request = _prepare(study, bundle, work or bundle.with_name(f"{bundle.name}.work"), initial, output)
    lines: list[dict[str, Any]] = []
    if finish:
        finish_training(request)
    else:
        command = ["spinescore", "train", str(study_file), "--output", str(bundle)]
        command += [] if work is None else ["--work", str(work)]
        command += [] if initial is None else ["--from", initial]
        _train(request, output, lines, shlex.join(command))
    _report(request, output, lines)


def _prepare(study: Study, bundle: Path, work: Path, initial: str | None, output: Output) -> TrainingRequest:
    from spinescore.cli.model import load
    from spinescore.shell.training_set import TrainingPlace, prepare_training
    from spinescore.shell.warehouse import open_warehouse

    named = initial or study.train.initial_bundle
    place = TrainingPlace(output=bundle, work=work, initial=None if named is None else load(named))
    with open_warehouse(study.study.database) as warehouse:
        output.say(f"Preprocessing the images into {work} (once) ...")
        request = prepare_training(warehouse, study, place)
    sizes = ", ".join(
        f"{name} {part.height:,} images of {part['subject_id'].n_unique():,} subjects"
        for name, part in request.split_images().items()
    )
    output.say(f"{study.train.backbone}, up to {study.train.epochs} epochs; {sizes}")
    return request


def _train(request: TrainingRequest, output: Output, lines: list[dict[str, Any]], command: str) -> None:
    """Train; stopped by a person or a scheduler, say how to go on."""
    from spinescore.train import train as train_network

    try:
        with watch_training(output) as listener:

            def announce(line: dict[str, Any]) -> None:
                lines.append(line)
                listener.announce(line)

            train_network(request, announce=announce, advance=listener.advance)
    except KeyboardInterrupt:
        typer.echo(f"Stopped; everything up to the last checkpoint is in {request.work}.", err=True)
        typer.echo(f"To go on: {command}    To stop here and keep the best: add --finish", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _report(request: TrainingRequest, output: Output, lines: list[dict[str, Any]]) -> None:
    from spinescore.core.network.training_times import sum_times
    from spinescore.shell.bundles import load_bundle
    from spinescore.train import CURVES, read_metrics

    written = load_bundle(request.output)
    history = read_metrics(request.work)
    times = sum_times(history)
    output.table("Test part, years", ACCURACY_COLUMNS, _accuracy_rows(written))
    for note in written.manifest["metrics"]["notes"]:
        output.say(note)
    output.say(f"Time: {times.describe()}")
    output.say(f"Learning curves: {request.work / CURVES}")
    output.say(f"Bundle: {request.output} (look with: spinescore model show {request.output})")
    output.emit(
        {
            "bundle": str(request.output),
            "model_id": written.model_id,
            "learning_curves": str(request.work / CURVES),
            "seconds": dict(times.seconds),
            "images_per_second": times.images_per_second,
            "metrics": written.manifest["metrics"],
            "epochs": lines,
        }
    )


def _accuracy_rows(bundle: Bundle) -> list[tuple[object, ...]]:
    metrics = bundle.manifest["metrics"]
    return [
        (
            kind,
            int(raw["n"]),
            *(raw.get(key) for key in ("mae_years", "bias_years", "r", "slope")),
            *((metrics["test_corrected"][kind] or {}).get(key) for key in ("mae_years", "bias_years")),
        )
        for kind, raw in metrics["test"].items()
    ]
