"""train: a network of one's own, from an indexed database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spinescore.cli.console import Json, Output, Quiet
from spinescore.cli.study import StudyFile, read


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(train)


def train(
    study_file: StudyFile,
    bundle: Annotated[
        Path, typer.Option("--output", help="The bundle's folder; written after each better epoch.")
    ],
    work: Annotated[
        Path | None, typer.Option(help="Working folder (images, checkpoint); OUTPUT.work if left out.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on the study's indexed images. Killed, the same command goes on where it was."""
    from spinescore.shell.training_set import describe_bundle, load_training_images, write_model_card
    from spinescore.shell.warehouse import open_warehouse
    from spinescore.train import Stage, TrainingRequest
    from spinescore.train import train as train_network

    study = read(study_file)
    output = Output(as_json, quiet)
    folder = work or bundle.with_name(f"{bundle.name}.work")
    with open_warehouse(study.study.database) as warehouse:
        output.say(f"Preprocessing the images into {folder} (once) ...")
        cache, synthetic = load_training_images(warehouse, study, folder / "images")
    output.say(
        f"Training {study.train.backbone} on {cache.table.height:,} images, {study.train.epochs} epochs."
    )
    request = TrainingRequest(
        cache=cache,
        work=folder / "run",
        output=bundle,
        description=describe_bundle(study, bundle.name, cache.table.height, synthetic=synthetic),
        model_card=write_model_card,
        stages=(
            Stage(
                epochs=study.train.epochs,
                batch_size=study.train.batch_size,
                learning_rate=study.train.learning_rate,
            ),
        ),
        seed=study.train.seed,
    )
    lines: list[dict[str, Any]] = []

    def announce(line: dict[str, Any]) -> None:
        lines.append(line)
        measured = line["validation"]["all"]
        correlation = f", r {measured['r']:.3f}" if "r" in measured else ""
        output.say(
            f"epoch {line['epoch'] + 1:>3}: loss {line['train']['total']:.3f}, validation MAE "
            f"{measured['mae_years']:.2f} years{correlation}, {line['seconds']:.0f} s"
        )

    train_network(request, announce=announce)
    output.say(f"Bundle: {bundle} (look with: spinescore model show {bundle})")
    output.emit({"bundle": str(bundle), "epochs": lines})
