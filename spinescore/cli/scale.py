"""scale: what a number of images needs, from measured rates."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import Json, Output

if TYPE_CHECKING:
    from spinescore.core.scale import Need, StageRates

STAGES: Mapping[str, str] = {
    "prepare": "decoding, quality and preprocessing",
    "forward": "the network",
    "read": "reading from the archive",
    "commit": "writing the database",
}
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))
LEFT_OUT = {"quality_s": 0.0, "commit_s": 0.0, "database_bytes": 0.0, "canvas_pixels": 1024 * 512}
LEAST_IMAGES = 10_000  # below, what a database takes by itself outweighs its rows
REQUIRED = {
    "decode_s": "--decode",
    "preprocess_s": "--preprocess",
    "image_bytes": "--image-mb",
}


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(scale)


def _rate(option: str, text: str) -> Any:
    return typer.Option(option, min=0.0, metavar="S", help=text, show_default=False)


def scale(
    images: Annotated[float, typer.Option(min=1, help="How many, e.g. 1e6.")],
    database: Annotated[
        Path | None,
        typer.Option("--database", "-d", help="Take the stage times of the scores in it, where not given."),
    ] = None,
    decode: Annotated[float | None, _rate("--decode", "Reading and decoding an image, one core.")] = None,
    quality: Annotated[
        float | None, _rate("--quality", "Measuring its quality, one core; 0 if left out.")
    ] = None,
    preprocess: Annotated[float | None, _rate("--preprocess", "To the canvas, one core.")] = None,
    forward: Annotated[float | None, _rate("--forward", "The network, one core.")] = None,
    gpu_forward: Annotated[float | None, _rate("--gpu-forward", "The network, one GPU.")] = None,
    commit: Annotated[
        float | None, _rate("--commit", "Writing the database, per image; 0 if left out.")
    ] = None,
    image_mb: Annotated[float | None, typer.Option(min=0.0, help="A file's size, MB.")] = None,
    database_kb: Annotated[
        float | None, typer.Option(min=0.0, help="Of the database per image, kB; 0 if left out.")
    ] = None,
    canvas: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="The network's input, pixels; 1024x512 if no database says."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Of all nodes together; this machine's if left out.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="Of all nodes together; 0 has processors infer.")] = 0,
    read_mb_per_s: Annotated[
        float | None, typer.Option(min=0.001, help="What the archive gives to all nodes; else not counted.")
    ] = None,
    measured_cores: Annotated[
        int | None,
        typer.Option(min=1, help="Of the machine that made the database's times; this one's if left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Work out what so many images need, from rates that were measured: hours, cores per GPU, storage.

    Every rate comes from an option or from a database that was scored; none is assumed (docs/scale.md).
    """
    from spinescore.core.scale import Machines, StageRates, assess_need

    given = {
        "decode_s": decode,
        "quality_s": quality,
        "preprocess_s": preprocess,
        "forward_core_s": forward,
        "forward_gpu_s": gpu_forward,
        "commit_s": commit,
        "image_bytes": None if image_mb is None else image_mb * 1e6,
        "database_bytes": None if database_kb is None else database_kb * 1e3,
        "canvas_pixels": None if canvas is None else _pixels(canvas),
    }
    here = os.cpu_count() or 1
    measured = {} if database is None else _measured(database, measured_cores or here)
    rates = LEFT_OUT | measured | {name: value for name, value in given.items() if value is not None}
    _refuse_unknown(rates, gpus=gpus)
    machines = Machines(
        cores=cores or here,
        gpus=gpus,
        read_bytes_per_s=None if read_mb_per_s is None else read_mb_per_s * 1e6,
    )
    known = StageRates(**rates)
    need = assess_need(images, known, machines)
    output = Output(as_json)
    output.table("Measured, per image", ["what", "value"], list(_rates(known)))
    output.table(
        f"{images:,.0f} images on {machines.cores:,} cores and {gpus:,} GPUs",
        ["what", "value"],
        list(_rows(need)),
    )
    output.say(f"Bound by {STAGES[need.bottleneck]}. Starting, waiting and an uneven end come on top.")
    output.emit({"images": images, "rates": asdict(known), "machines": asdict(machines), **asdict(need)})


def _measured(database: Path, cores: int) -> dict[str, Any]:
    """Return the rates of the newest model in a database; a processor's network time is of all its cores."""
    from spinescore.shell.warehouse import open_warehouse

    with open_warehouse(database) as warehouse:
        rows = warehouse.fetch("scale/stage_rates").to_dicts()
    if not rows:
        raise typer.BadParameter(
            "no score in it says how long it took; score something first, or give the rates",
            param_hint="--database",
        )
    newest = [row for row in rows if row["model_id"] == rows[0]["model_id"]]
    names = ("decode_s", "quality_s", "preprocess_s", "image_bytes")
    rates: dict[str, Any] = {name: float(newest[0][name]) for name in names}
    if newest[0]["n_indexed"] >= LEAST_IMAGES:
        rates["database_bytes"] = database.stat().st_size / newest[0]["n_indexed"]
    spec = json.loads(newest[0]["manifest"])["preprocessing"]
    rates["canvas_pixels"] = spec["height"] * spec["width"]
    for row in newest:
        if row["device"] == "cuda":
            rates["forward_gpu_s"] = row["forward_s"]
        else:
            rates["forward_core_s"] = row["forward_s"] * cores
    return rates


def _refuse_unknown(rates: Mapping[str, Any], *, gpus: int) -> None:
    wanted = REQUIRED | ({"forward_gpu_s": "--gpu-forward"} if gpus else {"forward_core_s": "--forward"})
    if missing := [option for name, option in wanted.items() if name not in rates]:
        raise typer.BadParameter(
            "not known: measure it (docs/scale.md says how), or name a scored --database",
            param_hint=", ".join(missing),
        )
    network = list(wanted)[-1]
    if not rates[network]:
        raise typer.BadParameter("no network takes no time", param_hint=wanted[network])


def _pixels(canvas: str) -> int:
    height, _, width = canvas.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise typer.BadParameter("write it as 1024x512", param_hint="--canvas")
    return int(height) * int(width)


def _rates(rates: StageRates) -> Iterator[tuple[str, str]]:
    yield "decoding, core", f"{rates.decode_s:.4g} s"
    yield "quality, core", f"{rates.quality_s:.4g} s"
    yield "preprocessing, core", f"{rates.preprocess_s:.4g} s"
    if rates.forward_core_s is not None:
        yield "network, core", f"{rates.forward_core_s:.4g} s"
    if rates.forward_gpu_s is not None:
        yield "network, GPU", f"{rates.forward_gpu_s:.4g} s"
    yield "writing", f"{rates.commit_s:.4g} s"
    yield "file", _bytes(rates.image_bytes)


def _rows(need: Need) -> Iterator[tuple[str, str]]:
    for stage, seconds in need.seconds.items():
        yield f"{STAGES[stage]}, alone", _time(seconds)
    yield "all, overlapped", _time(need.total_s)
    yield "another model, inputs kept", _time(need.rescoring_s)
    if need.cores_wanted is not None:
        yield "cores to keep a GPU busy", f"{need.cores_wanted:,}"
    yield "read from the archive", _bytes(need.read_bytes)
    if need.to_gpu_bytes:
        yield "moved to the GPUs", _bytes(need.to_gpu_bytes)
    if need.database_bytes:
        yield "database", _bytes(need.database_bytes)
    yield "inputs kept, 8 bits a pixel", _bytes(need.kept_bytes)


def _time(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.3g} h" if hours < 100 else f"{hours / 24:,.0f} days"


def _bytes(n: float) -> str:
    unit, name = next(((size, name) for size, name in UNITS if n >= size), (1e3, "kB"))
    return f"{n / unit:,.3g} {name}" if n / unit < 1000 else f"{n / unit:,.0f} {name}"
