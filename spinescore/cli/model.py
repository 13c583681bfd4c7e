"""model show|verify: what a bundle is, and whether it is whole."""

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


@app.command("show")
def show(bundle: BundlePath = "demo", as_json: Json = False) -> None:
    """Show a bundle's manifest, after checking its hashes."""
    loaded = _load(bundle)
    output = Output(as_json)
    rows = [(key, _short(value)) for key, value in loaded.manifest.items()]
    output.table(f"{loaded.name} {loaded.version}  (model {loaded.model_id})", ["field", "value"], rows)
    output.emit({"model_id": loaded.model_id, **loaded.manifest})


@app.command("verify")
def verify(bundle: BundlePath = "demo", as_json: Json = False) -> None:
    """Check every file of a bundle against the manifest's SHA-256."""
    loaded = _load(bundle)
    output = Output(as_json)
    output.say(
        f"{loaded.name} {loaded.version}: every file is as its manifest says (model {loaded.model_id})."
    )
    output.emit({"model_id": loaded.model_id, "verified": True})


def _load(bundle: str) -> Bundle:
    from spinescore.shell.bundles import demo_bundle_path, load_bundle

    return load_bundle(demo_bundle_path() if bundle == "demo" else Path(bundle))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
