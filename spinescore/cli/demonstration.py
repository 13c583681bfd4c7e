"""demo: a phantom cohort, and the report on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spinescore.cli.console import EXIT_PARTIAL, Json, Output, Quiet

if TYPE_CHECKING:
    from spinescore.demo import Headline


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(demo)


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder to make it in; an earlier demo there is replaced.")
    ] = Path("demo-output"),
    radiographs: Annotated[int, typer.Option(min=100, help="Subjects with a radiograph.")] = 600,
    vfa: Annotated[int, typer.Option(min=100, help="Subjects with a VFA image.")] = 350,
    seed: Annotated[int, typer.Option(help="Seed of the cohort.")] = 20251125,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a phantom cohort (DICOM files, follow-up table, study file) and run its study to the PDF."""
    from dataclasses import asdict

    from spinescore.demo import DemoRequest, make_demo, read_headline

    output = Output(as_json, quiet)
    output.say("A phantom cohort: every image and number in it is made up.")
    with output.listening() as listener:
        summary = make_demo(DemoRequest(out.resolve(), radiographs, vfa, seed), listener)
    headline = read_headline(out.resolve())
    _show(output, headline, out)
    output.emit({"folder": str(out), **asdict(headline)})
    if summary.partial:
        raise typer.Exit(EXIT_PARTIAL)


def _show(output: Output, headline: Headline, out: Path) -> None:
    row, truth = headline.result, headline.truth
    output.say()
    if row["status"] != "ok":
        output.say(f"Primary hazard ratio ({row['endpoint']}, {row['model']}): not estimable ({row['note']})")
    else:
        output.say(
            f"Primary, declared beforehand: {row['endpoint']}, {row['model']}, {row['cohort']}; "
            f"{row['n']} subjects, {row['events']} events"
        )
        output.say(
            f"  hazard ratio per SD of corrected PAD ({row['scale']:.2f} years): "
            f"{row['value']:.2f} (95% CI {row['lower']:.2f}-{row['upper']:.2f})"
        )
        limit = f"the large-sample limit for this network's PAD, {truth['large_sample_hazard_ratio']:.2f}"
        covered = headline.interval_covers_limit
        output.say(f"  the interval {'holds' if covered else 'MISSES'} {limit}")
        output.say(
            f"  the latent gap's own hazard ratio per {truth['gap_sd_years']:g} years is "
            f"{truth['generating_hazard_ratio']:.2f}; reading it from an image dilutes it"
        )
    output.say()
    output.say(f"Report:   {out / 'report' / 'report.html'}")
    output.say(f"          {out / 'report' / 'report.pdf'}")
    output.say(f"Yours to look at: {out / 'study.toml'}, {out / 'cohort.duckdb'}, {out / 'dicom'}")
    output.say("Synthetic data and a demonstration model: nothing here says anything about patients.")
