"""Tables that check the models: tests of proportional hazards, and concordance."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import Cell, Column, Row, Table
from spinescore.core.reporting.formatting import events_of, p_cell, value_cell
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.prediction_tables import VALIDATIONS
from spinescore.core.reporting.tables import head_row, stacked_cell

MEASURES = {"harrell": marked("Harrell's C"), "uno": marked("Uno's C")}


def proportional_hazards_table(material: Material) -> Table:
    """Show the tests of proportional hazards of PAD and of the whole model."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        for endpoint in material.survival:
            rows.append(head_row(f"{material.endpoint_title(endpoint)}: {cohort}"))
            for model in material.models:
                keys = {"endpoint": endpoint, "model": model, "method": "km"}
                pad = material.results.find(cohort, "ph_test", "chi2", term=material.pad(cohort), **keys)
                whole = material.results.find(cohort, "ph_test", "chi2", term="global", **keys)
                df = "" if whole is None or whole.df is None else f"{whole.df:g}"
                cells = (
                    Cell(text=model),
                    Cell(text=events_of(pad)),
                    value_cell(pad, "coefficient"),
                    p_cell(pad),
                    value_cell(whole, "coefficient"),
                    Cell(text=df),
                    p_cell(whole),
                )
                rows.append(Row(cells=cells, kind="indent"))
    columns = (
        Column(label=_("Model"), align="left"),
        Column(label=_("Events / n")),
        Column(label=_("χ² (1 df)"), spanner="PAD"),
        Column(label="p", spanner="PAD"),
        Column(label="χ²", spanner=_("Whole model")),
        Column(label="df", spanner=_("Whole model")),
        Column(label="p", spanner=_("Whole model")),
    )
    return Table(
        key="proportional-hazards",
        title=_("Tests of proportional hazards"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Score test on the Kaplan-Meier time scale, as survival::cox.zph since version 3.0. "
            "With very many events p is always small."
        ),
    )


def concordance_table(material: Material) -> Table:
    """Show C of each model without and with PAD, however it was judged, and the test of PAD."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        for endpoint in material.survival:
            rows.append(head_row(f"{material.endpoint_title(endpoint)}: {cohort}"))
            for model in material.models:
                rows.extend(_concordance_rows(material, cohort, endpoint, model))
    level = material.level_percent
    columns = (
        Column(label=_("Model"), align="left"),
        Column(label=_("Measure, judged"), align="left"),
        Column(label=_("Events / n")),
        Column(label=_("Without PAD"), spanner=_("C ({level} CI)").format(level=level)),
        Column(label=_("With PAD"), spanner=_("C ({level} CI)").format(level=level)),
        Column(label=_("Difference ({level} CI)").format(level=level)),
        Column(label="p (LR)"),
    )
    return Table(
        key="concordance",
        title=_("Concordance (C) of the models without and with predicted age difference"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Apparent: fitted and judged on the same subjects, so C flatters the larger model. "
            "Optimism-corrected: less what bootstrap samples flatter it by. External: fitted in "
            "another cohort. Competing events are censored. Uno's C counts events until the "
            "longest horizon and does not depend on censoring. p: likelihood-ratio test of adding "
            "PAD, on the complete cases common to all models. A small difference in C may go with "
            "a clear association, and the reverse."
        ),
    )


def _concordance_rows(material: Material, cohort: str, endpoint: str, model: str) -> Iterator[Row]:
    keys = {"endpoint": endpoint, "model": model}
    test = material.results.find(cohort, "cox", "lr_chi2", predictor=material.pad(cohort), **keys)
    for method, name in MEASURES.items():
        for validation, judged in VALIDATIONS.items():
            own = {**keys, "validation": validation, "method": method}
            first = (method, validation) == ("harrell", "apparent")
            if first or material.results.find(cohort, "concordance", "c", **own):
                label = (Cell(text=model if first else ""), Cell(text=f"{_(name)}, {_(judged)}"))
                cells = _concordance_cells(material, cohort, own)
                yield Row(cells=(*label, *cells, p_cell(test) if first else Cell(text="")), kind="indent")


def _concordance_cells(material: Material, cohort: str, keys: dict[str, str]) -> tuple[Cell, ...]:
    results, pad = material.results, material.pad(cohort)
    alone = results.find(cohort, "concordance", "c", predictor=None, **keys)
    return (
        Cell(text=events_of(alone)),
        stacked_cell(alone, "index"),
        stacked_cell(results.find(cohort, "concordance", "c", predictor=pad, **keys), "index"),
        stacked_cell(results.find(cohort, "concordance_difference", "c_difference", **keys), "difference"),
    )
