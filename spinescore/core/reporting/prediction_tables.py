"""Tables of predictions: AUC at horizons, Brier score and IPA, calibration, net benefit, reclassification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from spinescore.core.reporting.document import Cell, Column, Row, Table
from spinescore.core.reporting.formatting import (
    Quantity,
    estimate_cell,
    events_of,
    p_cell,
    value_cell,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import LEFT_TO_CALLER, PREDICTOR_NAMES, Material
from spinescore.core.reporting.survival_tables import as_percent
from spinescore.core.reporting.tables import head_row, stacked_cell
from spinescore.domain import Result

VALIDATIONS = {
    "apparent": marked("apparent"),
    "optimism_corrected": marked("optimism-corrected"),
    "external": marked("external"),
}
CALIBRATION: tuple[tuple[str, str, Quantity], ...] = (
    ("observed_risk", marked("Observed risk, %"), "percent"),
    ("mean_predicted_risk", marked("Mean predicted, %"), "percent"),
    ("o_e_ratio", marked("Observed / predicted"), "ratio"),
    ("calibration_intercept", marked("Intercept"), "coefficient"),
    ("calibration_slope", marked("Slope"), "coefficient"),
    ("ici", "ICI, %", "percent"),
    ("e90", "E90, %", "percent"),
)
Trio = tuple[Result | None, Result | None, Result | None]


class Place(NamedTuple):
    """Where models are judged: an endpoint in a cohort, at a horizon where there is one."""

    cohort: str
    endpoint: str
    horizon: float | None


class Judged(NamedTuple):
    """One model judged in one way, and the keys its rows have."""

    model: str
    validation: str
    keys: dict[str, object]


def places(material: Material) -> Iterator[Place]:
    """Yield where models were judged, endpoint by endpoint."""
    for endpoint in (*material.survival, *material.binary):
        for cohort in material.cohorts:
            rows = material.results.every(cohort, "brier", "brier", endpoint=endpoint)
            for horizon in dict.fromkeys(row.horizon_years for row in rows):
                yield Place(cohort, endpoint, horizon)


def _place_head(material: Material, place: Place) -> Row:
    until = "" if place.horizon is None else _(" at {horizon:g} years").format(horizon=place.horizon)
    return head_row(f"{material.endpoint_title(place.endpoint)}{until}: {place.cohort}")


def _judged(material: Material, place: Place) -> Iterator[Judged]:
    for model in material.models:
        for validation in VALIDATIONS:
            keys: dict[str, object] = {
                "endpoint": place.endpoint,
                "horizon_years": place.horizon,
                "model": model,
                "validation": validation,
            }
            if material.results.find(place.cohort, "brier", "brier", **keys):
                yield Judged(model, validation, keys)


def _label_cells(judged: Judged) -> tuple[Cell, Cell]:
    return Cell(text=judged.model), Cell(text=_(VALIDATIONS[judged.validation]))


def horizon_ages_table(material: Material) -> Table | None:
    """Show the AUC at horizons of ages by themselves, against chronological age; None without horizons."""
    rows: list[Row] = []
    for place in places(material):
        found = list(_age_rows(material, place))
        rows += [_place_head(material, place), *found] if found else []
    if not rows:
        return None
    level = material.level_percent
    return Table(
        key="horizon-auc-ages",
        title=_("Discrimination of later events at horizons: ages by themselves"),
        columns=(
            Column(label=_("Predictor"), align="left"),
            Column(label=_("Events / n")),
            Column(label=_("AUC ({level} CI)").format(level=level)),
            Column(label=_("Difference from chronological age ({level} CI)").format(level=level)),
            Column(label="p"),
        ),
        rows=tuple(rows),
        caption=_(
            "Area under the time-dependent ROC curve: cases had the event by the horizon, controls "
            "are all others known to be without it then, those with a competing event included; "
            "weighted by the inverse probability of being uncensored (Kaplan-Meier). Unadjusted: "
            "an age discriminates because risk rises with age."
        ),
    )


def _age_rows(material: Material, place: Place) -> Iterator[Row]:
    for predictor, title in PREDICTOR_NAMES.items():
        keys = {
            "endpoint": place.endpoint,
            "horizon_years": place.horizon,
            "predictor": predictor,
            "model": None,
        }
        found = material.results.find(place.cohort, "time_dependent_auc", "auc", **keys)
        if found is None:
            continue
        contrast = material.results.find(place.cohort, "time_dependent_auc", "auc_difference", **keys)
        cells = (
            Cell(text=_(title)),
            Cell(text=events_of(found)),
            estimate_cell(found, "index"),
            estimate_cell(contrast, "difference") if contrast else Cell(text=""),
            p_cell(contrast) if contrast else Cell(text=""),
        )
        yield Row(cells=cells, kind="indent")


def horizon_models_table(material: Material) -> Table | None:
    """Show the AUC of the predicted risk without and with PAD; None where there is none."""
    rows: list[Row] = []
    for place in places(material):
        shown = [
            judged
            for judged in _judged(material, place)
            if place.horizon is not None or judged.validation != "apparent"
        ]
        rows += [_place_head(material, place)] if shown else []
        for judged in shown:
            without, with_pad, change = _areas(material, place, judged)
            cells = (estimate_cell(without, "index"), estimate_cell(with_pad, "index"))
            label = (*_label_cells(judged), Cell(text=events_of(without)))
            rows.append(Row(cells=(*label, *cells, estimate_cell(change, "difference")), kind="indent"))
    if not rows:
        return None
    level = material.level_percent
    return Table(
        key="horizon-auc-models",
        title=_("Discrimination by predicted risk: models without and with predicted age difference"),
        columns=(
            Column(label=_("Model"), align="left"),
            Column(label=_("Judged"), align="left"),
            Column(label=_("Events / n")),
            Column(label=_("AUC without PAD ({level} CI)").format(level=level)),
            Column(label=_("AUC with PAD ({level} CI)").format(level=level)),
            Column(label=_("Difference ({level} CI)").format(level=level)),
        ),
        rows=tuple(rows),
        caption=_(
            "At horizons time-dependent AUC, weighted for censoring; for prevalent disease "
            "empirical AUC with DeLong's interval, whose apparent values stand with the logistic "
            "models. No p: nested fitted models cannot be compared by their areas; the test of "
            "adding PAD is the likelihood-ratio test."
        ),
    )


def _areas(material: Material, place: Place, judged: Judged) -> Trio:
    """Return the areas of a model without PAD, with PAD and their difference."""
    if place.horizon is not None:
        return _trio(material, place, judged, "time_dependent_auc", "auc")
    find, pad = material.results.find, material.pad(place.cohort)
    return (
        find(place.cohort, "auc", "auc", predictor=None, **judged.keys),
        find(place.cohort, "auc", "auc", predictor=pad, **judged.keys),
        find(place.cohort, "auc_difference", "auc_difference", predictor=pad, **judged.keys),
    )


def _trio(material: Material, place: Place, judged: Judged, analysis: str, statistic: str) -> Trio:
    """Return the rows of a model without PAD, with PAD and of their difference."""
    find, pad = material.results.find, material.pad(place.cohort)
    return (
        find(place.cohort, analysis, statistic, predictor=None, **judged.keys),
        find(place.cohort, analysis, statistic, predictor=pad, **judged.keys),
        find(place.cohort, analysis, f"{statistic}_difference", predictor=pad, **judged.keys),
    )


def brier_table(material: Material) -> Table:
    """Show Brier score and IPA of the models without and with PAD."""
    rows: list[Row] = []
    for place in places(material):
        rows.append(_place_head(material, place))
        for judged in _judged(material, place):
            brier = _trio(material, place, judged, "brier", "brier")
            ipa = _trio(material, place, judged, "ipa", "ipa")
            cells = (*(stacked_cell(r, "index") for r in brier[:2]), stacked_cell(brier[2], "difference"))
            gain = tuple(stacked_cell(r and as_percent(r), "percent") for r in ipa)
            rows.append(Row(cells=(*_label_cells(judged), *cells, *gain), kind="indent"))
    heads = (_("Without PAD"), _("With PAD"), _("Difference"))
    return Table(
        key="brier",
        title=_("Brier score and index of prediction accuracy (IPA)"),
        columns=(
            Column(label=_("Model"), align="left"),
            Column(label=_("Judged"), align="left"),
            *(Column(label=head, spanner=_("Brier score")) for head in heads),
            *(Column(label=head, spanner=_("IPA, %")) for head in heads),
        ),
        rows=tuple(rows),
        caption=_(
            "Brier score: mean squared difference of predicted risk and outcome, weighted for "
            "censoring; lower is better. IPA: 1 minus its ratio to that of giving everybody the "
            "sample's own risk; 0 is useless, below 0 harmful. Below: {level} confidence "
            "intervals. A small IPA is usual for rare events; Brier scores do not compare between "
            "cohorts or horizons."
        ).format(level=material.level_percent),
    )


def calibration_table(material: Material) -> Table:
    """Show calibration in the large, slope and the distance of the curve, of the primary model."""
    rows: list[Row] = []
    for place in places(material):
        rows.append(_place_head(material, place))
        for judged in _judged(material, place):
            if judged.model == material.primary_model:
                pair = (None, material.pad(place.cohort))
                rows += [_calibration_row(material, place, judged, predictor) for predictor in pair]
    return Table(
        key="calibration",
        title=_("Calibration of predicted risks, {model}").format(model=material.primary_model),
        columns=(
            Column(label=_("Model"), align="left"),
            Column(label=_("Judged"), align="left"),
            *(Column(label=_(head)) for _name, head, _quantity in CALIBRATION),
        ),
        rows=tuple(rows),
        caption=_(
            "Right are: observed / predicted 1, intercept (calibration in the large, on the scale "
            "of the model) 0, slope 1; a slope below 1 says that predictions are too extreme. ICI "
            "and E90: mean and 90th percentile of the absolute distance of the calibration curve "
            "from the diagonal. Below: {level} confidence intervals. Apparent intercepts and "
            "slopes are near 0 and 1 whatever the model is worth. Empty: not corrected for "
            "optimism. Other models: results.json."
        ).format(level=material.level_percent),
    )


def _calibration_row(material: Material, place: Place, judged: Judged, predictor: str | None) -> Row:
    keys = {**judged.keys, "predictor": predictor}
    cells = []
    for statistic, _head, quantity in CALIBRATION:
        found = material.results.find(place.cohort, "calibration", statistic, **keys)
        if found is None:
            cells.append(Cell(text=""))
        elif quantity == "percent":
            cells.append(value_cell(as_percent(found), quantity))
        else:
            cells.append(stacked_cell(found, quantity))
    name = judged.model if predictor is None else f"{judged.model} + PAD"
    return Row(cells=(Cell(text=name), _label_cells(judged)[1], *cells), kind="indent")


def net_benefit_table(material: Material) -> Table | None:
    """Show the net benefit of the primary model at round thresholds; None where there is none."""
    keys = {"model": material.primary_model, "term": LEFT_TO_CALLER}
    terms: dict[str, None] = {}
    for cohort in material.cohorts:
        for row in material.results.every(cohort, "decision_curve", "net_benefit", **keys):
            terms.setdefault(row.term or "", None)
    order = sorted(terms, key=_threshold)
    rows: list[Row] = []
    for place in _last_places(material) if order else ():
        found = list(_benefit_rows(material, place, order))
        rows += [_place_head(material, place), *found] if found else []
    if not rows:
        return None
    spanner = _("Net benefit per 100 subjects, acting from a risk of")
    return Table(
        key="net-benefit",
        title=_("Net benefit of acting on predicted risk at the longest horizon, {model}").format(
            model=material.primary_model
        ),
        columns=(
            Column(label=_("Whom to act on"), align="left"),
            Column(label=_("Judged"), align="left"),
            *(Column(label=f"{100 * _threshold(term):g}%", spanner=spanner) for term in order),
        ),
        rows=tuple(rows),
        caption=_(
            "True positives per 100 subjects less false positives times the odds of the threshold; "
            "acting on nobody has 0. No intervals are known for these: small differences may be "
            "chance. It says which model would be better to act on at a threshold, not that one "
            "should act."
        ),
    )


def _last_places(material: Material) -> Iterator[Place]:
    """Yield where models were judged, at the longest horizon of each endpoint alone."""
    every = list(places(material))
    for place in every:
        horizons = [other.horizon or 0.0 for other in every if other.endpoint == place.endpoint]
        if (place.horizon or 0.0) == max(horizons):
            yield place


def _threshold(term: str) -> float:
    return float(term.partition("=")[2])


def _benefit_rows(material: Material, place: Place, terms: list[str]) -> Iterator[Row]:
    pad, model = material.pad(place.cohort), material.primary_model
    lines: tuple[tuple[str, str, str, object], ...] = (
        (_("Everybody"), "net_benefit", "treat_all", LEFT_TO_CALLER),
        (_("By {model}").format(model=model), "net_benefit", "model", None),
        (_("By {model} + PAD").format(model=model), "net_benefit", "model", pad),
        (_("Difference"), "net_benefit_difference", "model", pad),
    )
    for judged in _judged(material, place):
        for title, statistic, method, predictor in lines if judged.model == model else ():
            keys = {**judged.keys, "method": method, "predictor": predictor}
            find = material.results.find
            found = [find(place.cohort, "decision_curve", statistic, term=t, **keys) for t in terms]
            if any(found):
                label = (Cell(text=title), _label_cells(judged)[1])
                yield Row(cells=(*label, *(_benefit_cell(row) for row in found)), kind="indent")


def _benefit_cell(row: Result | None) -> Cell:
    return value_cell(as_percent(row), "coefficient") if row else Cell(text="")


def reclassification_table(material: Material) -> Table | None:
    """Show IDI and NRI where the study asked for them; None otherwise."""
    rows: list[Row] = []
    for place in places(material):
        found = []
        for judged in _judged(material, place):
            idi = material.results.find(place.cohort, "reclassification", "idi", **judged.keys)
            nri = material.results.find(place.cohort, "reclassification", "continuous_nri", **judged.keys)
            if idi is not None or nri is not None:
                cells = (Cell(text=events_of(idi)), *(estimate_cell(r, "difference") for r in (idi, nri)))
                found.append(Row(cells=(*_label_cells(judged), *cells), kind="indent"))
        rows += [_place_head(material, place), *found] if found else []
    if not rows:
        return None
    level = material.level_percent
    return Table(
        key="reclassification",
        title=_("Reclassification by adding predicted age difference (secondary)"),
        columns=(
            Column(label=_("Model"), align="left"),
            Column(label=_("Judged"), align="left"),
            Column(label=_("Events / n")),
            Column(label=_("IDI ({level} CI)").format(level=level)),
            Column(label=_("Continuous NRI ({level} CI)").format(level=level)),
        ),
        rows=tuple(rows),
        caption=_(
            "IDI: integrated discrimination improvement; NRI: net reclassification improvement "
            "over all risks. Shown because the study file asked for them. Intervals take the "
            "models as known, and a useless marker raises the NRI: neither is a test, and neither "
            "says that PAD is of use."
        ),
    )
