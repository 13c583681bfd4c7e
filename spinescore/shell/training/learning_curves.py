"""A run's learning curves as one page that asks no address for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spinescore.core.network.training_plan import list_epochs
from spinescore.core.network.training_times import sum_times
from spinescore.core.reporting.training_curves import COLUMNS, draw_learning_curves, tabulate_epochs
from spinescore.shell.render import draw_figure, font_faces, read_style
from spinescore.shell.resources import resource
from spinescore.shell.training.request import CURVES, TrainingRequest

SYNTHETIC = "Trained on phantoms: every image is made up, and nothing here says how it would do on people."


def write_learning_curves(request: TrainingRequest, history: Sequence[Mapping[str, Any]]) -> Path | None:
    """Write the page of the finished epochs into the working folder; None if there are none."""
    if not history:
        return None
    path = request.work / CURVES
    unfinished = path.with_suffix(".part")
    unfinished.write_text(render_learning_curves(request, history), encoding="utf-8")
    unfinished.replace(path)
    return path


def render_learning_curves(request: TrainingRequest, history: Sequence[Mapping[str, Any]]) -> str:
    """Return the page, HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = resource("templates", "training")
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    spec = request.cache.spec
    return environment.get_template("curves.html.j2").render(
        title=f"Learning curves of {request.description.name}",
        subtitle=f"{len(history)} of {len(list_epochs(request.stages))} epochs",
        warning=SYNTHETIC if request.description.synthetic else "",
        facts=_state_facts(request, history),
        figures=[(figure, draw_figure(figure)) for figure in draw_learning_curves(history)],
        columns=COLUMNS,
        rows=tabulate_epochs(history, spec.height, spec.width),
        fonts=Markup(font_faces()),
        styles=Markup(read_style("base.css")),
        own_styles=Markup((folder / "curves.css").read_text(encoding="utf-8")),
    )


def _state_facts(request: TrainingRequest, history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    best = min(history, key=lambda line: (line["shrink"], line["validation"]["all"]["mae_years"]))
    weights = "; ".join(
        f"{stage.epochs} epochs with {stage.mean_weight:g} and {stage.variance_weight:g}"
        for stage in request.stages
    )
    return [
        ("Network", f"{request.description.backbone}, {request.description.n_classes} ages"),
        (
            "Best epoch",
            f"{best['epoch'] + 1}: validation MAE {best['validation']['all']['mae_years']:.2f} years",
        ),
        ("Weights of the losses", f"mean and variance: {weights}"),
        ("Time", sum_times(history).describe()),
    ]
