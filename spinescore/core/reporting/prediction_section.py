"""What the models predict: discrimination at horizons, accuracy of risks, calibration, net benefit."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import Block, Callout, Heading, Paragraph, Section
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import gettexts, marked
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.prediction_figures import calibration_figure, decision_figure
from spinescore.core.reporting.prediction_tables import (
    brier_table,
    calibration_table,
    horizon_ages_table,
    horizon_models_table,
    net_benefit_table,
    places,
    reclassification_table,
)

TITLE = marked("Prediction of individual risk")
READING = marked(
    "Here the models are read as predictions of a subject's own risk. Apparent: judged on "
    "the subjects they were fitted to, which flatters them; optimism-corrected: less the "
    "optimism of bootstrap samples; external: fitted in another cohort and applied here "
    "unchanged. Of the last two, whichever is shown is the one to read."
)
CAUTIONS = (
    marked("A model that predicts well is no evidence that acting on its predictions does any good."),
    marked(
        "Net benefit weighs false positives by the threshold alone: it knows nothing of costs, "
        "harms of images or what a treatment does."
    ),
    marked("No threshold was chosen here, and none is recommended."),
)


def prediction_section(material: Material) -> Section:
    """Show what fitted models predict; empty where they were not judged as predictions."""
    if not any(True for _ in places(material)):
        return Section(key="prediction", title=_(TITLE), blocks=())
    endpoints = (*material.survival, *material.binary)
    curves = [figure for e in endpoints for figure in _calibration_figures(material, e)]
    decisions = [f for e in endpoints if (f := decision_figure(material, e)) is not None]
    benefit = net_benefit_table(material)
    areas: list[Block] = [
        t for t in (horizon_ages_table(material), horizon_models_table(material)) if t is not None
    ]
    blocks: list[Block | None] = [
        Paragraph(text=_(READING)),
        *([Heading(text=_("Discrimination at horizons"))] if areas else []),
        *areas,
        Heading(text=_("Accuracy of predicted risks")),
        brier_table(material),
        Heading(text=_("Calibration")),
        *curves,
        calibration_table(material),
        *([Heading(text=_("Net benefit"))] if benefit or decisions else []),
        *decisions,
        benefit,
        reclassification_table(material),
        Callout(title=_("What predictions do not show"), items=gettexts(CAUTIONS), severity="note"),
    ]
    return Section(key="prediction", title=_(TITLE), blocks=tuple(b for b in blocks if b is not None))


def _calibration_figures(material: Material, endpoint: str) -> Iterator[Block]:
    """Draw the primary endpoint at every horizon and the others at the longest."""
    horizons = {place.horizon for place in places(material) if place.endpoint == endpoint}
    order = sorted(horizons, key=lambda horizon: -1.0 if horizon is None else horizon)
    for horizon in order if endpoint == material.primary_endpoint else order[-1:]:
        figure = calibration_figure(material, endpoint, horizon)
        if figure is not None:
            yield figure
