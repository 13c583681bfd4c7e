"""model coverage|perturb|saliency: how far a model's ages can be trusted, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import EXIT_PARTIAL, Database, Json, Output, Quiet
from spinescore.cli.model import BundlePath, load

if TYPE_CHECKING:
    from spinescore.coverage import Coverage

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `model`."""
    app.command("coverage")(coverage)
    app.command("perturb")(perturb)
    app.command("saliency")(saliency)


def coverage(
    bundle: BundlePath,
    database: Database,
    output_bundle: Annotated[
        Path | None,
        typer.Option(
            "--recalibrate",
            metavar="NEW_BUNDLE",
            help="Fit one temperature on half of the subjects and write a bundle with it.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the two halves.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how often a model's age intervals hold the age, on subjects it was not trained on."""
    from spinescore.coverage import measure_coverage, recalibrate
    from spinescore.shell.warehouse import open_warehouse

    output, loaded = Output(as_json, quiet), load(bundle)
    with open_warehouse(database) as warehouse:
        if output_bundle is None:
            found = measure_coverage(warehouse, loaded)
            _show_coverage(output, f"{loaded.name} {loaded.version} (model {loaded.model_id})", found)
            output.emit({"model_id": loaded.model_id, **_as_json(found)})
            return
        made = recalibrate(warehouse, loaded, output_bundle, seed=seed)
    fitted = made.fitted
    _show_coverage(output, "before, on the subjects the fit did not see", made.before)
    _show_coverage(output, f"after, temperature {fitted.temperature:.4f}", made.after)
    output.say(
        f"Temperature fitted on {fitted.n:,} images; negative log likelihood {fitted.nll_before:.4f} before, "
        f"{fitted.nll_after:.4f} after."
    )
    output.say(f"Bundle: {made.bundle.path} (model {made.bundle.model_id}). Its ages differ a little: score")
    output.say("with it, and fit the bias correction anew.")
    output.emit(
        {
            "bundle": str(made.bundle.path),
            "model_id": made.bundle.model_id,
            "temperature": made.bundle.temperature,
            "before": _as_json(made.before),
            "after": _as_json(made.after),
        }
    )


def perturb(
    bundle: BundlePath,
    database: Database,
    n_images: Annotated[
        int, typer.Option("--images", min=1, help="Images per kind, of different subjects.")
    ] = 100,
    seed: Annotated[int, typer.Option(help="Of the choice, and of the noise.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how far small shifts, rotations and exposure changes move the age (no test-retest error)."""
    from spinescore.perturbation import measure_perturbation_spread
    from spinescore.shell.warehouse import open_warehouse

    output, loaded = Output(as_json, quiet), load(bundle)
    with open_warehouse(database) as warehouse, output.listening() as listener:
        listener.stage("perturb")
        found = measure_perturbation_spread(
            warehouse,
            loaded,
            n_images=n_images,
            seed=seed,
            device=device,
            announce=listener.announce,
            progress=listener.advance,
        )
    summary, changes = found.summarise(), found.by_perturbation()
    columns = ["kind", "images", "spread, years", "95th percentile", "largest change"]
    output.table("Perturbation spread (root mean square change of the age)", columns, summary.rows())
    columns = ["kind", "family", "change", "mean, years", "RMS, years", "largest"]
    output.table("By perturbation", columns, changes.rows())
    output.say("It is no test-retest error: a second image of a person differs in more than these ways.")
    _say_failures(output, found.failures)
    output.emit({"summary": summary.to_dicts(), "by_perturbation": changes.to_dicts()})
    if found.failures:
        raise typer.Exit(EXIT_PARTIAL)


def saliency(
    bundle: BundlePath,
    database: Database,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the pictures.", show_default=False)],
    image: Annotated[list[str] | None, typer.Option(metavar="UID", help="An image; may be repeated.")] = None,
    extremes: Annotated[
        int, typer.Option(min=0, help="So many of each kind that look oldest and youngest for their age.")
    ] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw where in chosen images the network found age (Grad-CAM). The pictures show patients: keep them."""
    from spinescore.shell.overlays import draw_saliency
    from spinescore.shell.warehouse import open_warehouse

    output, loaded = Output(as_json, quiet), load(bundle)
    with open_warehouse(database) as warehouse, output.listening() as listener:
        listener.stage("saliency")
        overlays, failures = draw_saliency(
            warehouse,
            loaded,
            folder,
            sop_instance_uids=image or (),
            extremes=extremes,
            progress=listener.advance,
        )
    rows = [(o.path.name, o.kind, o.age_years, o.spine_age, o.gap_at_age_years) for o in overlays]
    columns = ["file", "kind", "age", "spine age", "gap at this age"]
    output.table(f"Overlays in {folder}", columns, rows)
    output.say("They show patients' images: share them as you would the images. They say where, not why.")
    _say_failures(output, failures)
    output.emit({"folder": str(folder), "overlays": [o.path.name for o in overlays], "failed": len(failures)})
    if failures:
        raise typer.Exit(EXIT_PARTIAL)


def _show_coverage(output: Output, title: str, found: Coverage) -> None:
    rows = [
        (
            kind,
            f"{one.level:.0%}",
            f"{one.coverage.value:.1%}",
            f"{one.coverage.lower:.1%} to {one.coverage.upper:.1%}",
            one.n,
            round(one.mean_width_years, 1),
        )
        for kind, levels in found.by_kind.items()
        for one in levels
    ]
    columns = ["images", "interval", "holds the age", "95% CI", "n", "mean width, years"]
    output.table(title, columns, rows)
    if found.n_trained_left_out:
        output.say(
            f"{found.n_trained_left_out:,} left out: the network was trained on them, or stopped by them."
        )
    if found.n_outside_left_out:
        output.say(f"{found.n_outside_left_out:,} left out: of an age the network cannot tell.")


def _as_json(found: Coverage) -> dict[str, Any]:
    levels = {
        kind: [
            {
                "level": one.level,
                "coverage": one.coverage.value,
                "lower": one.coverage.lower,
                "upper": one.coverage.upper,
                "n": one.n,
                "mean_width_years": one.mean_width_years,
            }
            for one in found_levels
        ]
        for kind, found_levels in found.by_kind.items()
    }
    left_out = {"trained_on": found.n_trained_left_out, "age_outside": found.n_outside_left_out}
    return {"coverage": levels, "left_out": left_out}


def _say_failures(output: Output, failures: Any) -> None:
    for uid, reason in failures:
        output.say(f"could not be read: {uid} ({reason})")
