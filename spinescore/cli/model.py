"""model import|show|verify: a checkpoint made a bundle, what a bundle is, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spinescore.cli.console import Json, Output

if TYPE_CHECKING:
    from spinescore.shell.bundles import Bundle

app = typer.Typer(help="Model bundles: weights, manifest, model card.", no_args_is_help=True)
BundlePath = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="Folder or zip; `demo` is the shipped one.")
]


@app.command("import")
def import_(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT.pth", help="A VERTE-X state dict as `torch.save` wrote it.")
    ],
    output: Annotated[Path, typer.Option(help="The bundle's folder; must not exist.", show_default=False)],
    backbone: Annotated[
        str | None,
        typer.Option(help="efficientnet-b0 ... efficientnet-b7; recognised from the tensors if left out."),
    ] = None,
    first_age: Annotated[
        int, typer.Option(min=0, max=100, help="Age of the first class, years; the checkpoint does not say.")
    ] = 40,
    name: Annotated[
        str | None, typer.Option(help="The model's name; of its backbone if left out.", show_default=False)
    ] = None,
    model_version: Annotated[
        str | None,
        typer.Option(help="Its version; of the checkpoint's SHA-256 if left out.", show_default=False),
    ] = None,
    licence: Annotated[str, typer.Option(help="Under which it may be used.")] = "not stated",
    intended_use: Annotated[str, typer.Option(help="What its owner says it is for.")] = "not stated",
    training_data: Annotated[str, typer.Option(help="What it was trained on.")] = "not stated",
    as_json: Json = False,
) -> None:
    """Make a bundle of a checkpoint, without running anything that is in it."""
    from spinescore.shell.checkpoints import ImportRequest, import_checkpoint

    bundle = import_checkpoint(
        ImportRequest(
            checkpoint=checkpoint,
            output=output,
            backbone=backbone,
            first_age=first_age,
            name=name,
            version=model_version,
            licence=licence,
            intended_use=intended_use,
            training_data=training_data,
        )
    )
    _say_imported(bundle, Output(as_json), recognised=backbone is None)


@app.command("show")
def show(bundle: BundlePath = "demo", as_json: Json = False) -> None:
    """Show a bundle's manifest, after checking its hashes."""
    loaded = load(bundle)
    output = Output(as_json)
    rows = [(key, _short(value)) for key, value in loaded.manifest.items()]
    output.table(f"{loaded.name} {loaded.version}  (model {loaded.model_id})", ["field", "value"], rows)
    output.emit({"model_id": loaded.model_id, **loaded.manifest})


@app.command("verify")
def verify(bundle: BundlePath = "demo", as_json: Json = False) -> None:
    """Check every file of a bundle against the manifest's SHA-256."""
    loaded = load(bundle)
    output = Output(as_json)
    output.say(
        f"{loaded.name} {loaded.version}: every file is as its manifest says (model {loaded.model_id})."
    )
    output.emit({"model_id": loaded.model_id, "verified": True})


def _say_imported(bundle: Bundle, output: Output, *, recognised: bool) -> None:
    """Say what was made of a checkpoint, and what rests on the user's word."""
    how = "recognised from its tensors" if recognised else "as you said"
    last_age = bundle.first_age + bundle.n_classes - 1
    folded = bundle.manifest["origin"]["input_channels"] == 3
    output.say(f"{bundle.name} {bundle.version}: bundle at {bundle.path} (model {bundle.model_id})")
    output.say(f"  backbone   {bundle.backbone}, {how}")
    output.say(
        f"  ages       {bundle.first_age} to {last_age}, one output each; the first is as told, "
        "the checkpoint does not say it"
    )
    output.say(f"  stem       {'three equal channels summed to one' if folded else 'one channel, as saved'}")
    unstated = [k for k in ("licence", "intended_use", "training_data") if bundle.manifest[k] == "not stated"]
    if unstated:
        options = ", ".join(f"--{key.replace('_', '-')}" for key in unstated)
        output.say(f"  not stated {options}; MODEL_CARD.md says what else is not known")
    output.emit({"model_id": bundle.model_id, "path": str(bundle.path), **bundle.manifest})


def load(bundle: str) -> Bundle:
    """Return the bundle that an argument names, checked."""
    from spinescore.shell.bundles import find_bundle

    return find_bundle(bundle)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
