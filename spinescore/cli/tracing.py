"""trace: from a number in a report back to the images it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import Json, Output
from spinescore.cli.study import StudyFile, read

if TYPE_CHECKING:
    from spinescore.trace import Trace

SHOWN_IMAGES = 10
AGES = ("spine_age_raw", "spine_age_corrected")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(trace)


def trace(
    study_file: StudyFile,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="Of the result; none: the primary estimate."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE.csv|.json|.parquet", help="Write all images here; patient data."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Go back from a number in the report to subjects, scores, files, hashes and the runs between."""
    from spinescore.run import model_key
    from spinescore.shell.tabular import write_private_table
    from spinescore.shell.warehouse import open_warehouse
    from spinescore.trace import trace_result

    wanted = dict(_pair(text) for text in keys or ())
    study = read(study_file)
    with open_warehouse(study.study.database) as warehouse:
        found = trace_result(warehouse, study, model_key(warehouse, study), wanted)
    output = Output(as_json)
    _show(output, found)
    if to is not None:
        write_private_table(found.images, to)
        output.say(f"{to}: {found.images.height:,} images. They are patient data.")
    output.emit(
        {
            "result": dict(found.result),
            "analysis_run": dict(found.analysis_run),
            "n_subjects": found.n_subjects,
            "exact": found.exact,
            "images": found.images.to_dicts(),
        }
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"`{text}` is not KEY=VALUE", param_hint="KEY=VALUE")
    return name.strip(), value.strip()


def _show(output: Output, found: Trace) -> None:
    result = found.result
    known = [(name, value) for name, value in result.items() if value not in (None, []) and name != "run_id"]
    output.table("The number", ["", "value"], [(name, _text(value)) for name, value in known])
    run = found.analysis_run
    output.say(
        f"Computed by analysis run {run['run_id']}, {run['ended_at']:%Y-%m-%d %H:%M:%S} UTC, from input "
        f"{str(run['input_sha256'])[:16]}, which is unchanged."
    )
    images = found.images
    who = "on these subjects" if found.exact else "within its cohort (which of them it used is not told)"
    output.say(f"It was computed {who}: {found.n_subjects:,} subjects, {images.height:,} images.")
    for name in ("model_id", "preprocessing_id", "correction_id", "ingest_run", "score_run", "calibrate_run"):
        counts = images[name].drop_nulls().value_counts(sort=True).rows()
        if counts:
            output.say(f"  {name}: {', '.join(f'{value} ({n:,} images)' for value, n in counts)}")
    shown = images.head(SHOWN_IMAGES)
    output.say(f"The first {shown.height} images: hash of the pixels, age raw and corrected, file")
    for row in shown.iter_rows(named=True):
        ages = " / ".join("-" if row[name] is None else f"{row[name]:.3f}" for name in AGES)
        output.say(f"  {str(row['pixel_sha256'])[:16]}  {ages}  {row['path']}")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
