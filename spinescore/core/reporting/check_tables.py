"""Tables that check the models: tests of proportional hazards, and concordance."""

from __future__ import annotations

from spinescore.core.reporting.document import Cell, Column, Row, Table
from spinescore.core.reporting.formatting import estimate_cell, events_of, p_cell, value_cell
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.tables import head_row


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
        Column(label="Model", align="left"),
        Column(label="Events / n"),
        Column(label="χ² (1 df)", spanner="PAD"),
        Column(label="p", spanner="PAD"),
        Column(label="χ²", spanner="Whole model"),
        Column(label="df", spanner="Whole model"),
        Column(label="p", spanner="Whole model"),
    )
    return Table(
        key="proportional-hazards",
        title="Tests of proportional hazards",
        columns=columns,
        rows=tuple(rows),
        caption="Score test on the Kaplan-Meier time scale, as survival::cox.zph since version 3.0. "
        "With very many events p is always small.",
    )


def concordance_table(material: Material) -> Table:
    """Show Harrell's C of each model without and with PAD, and the likelihood-ratio test of PAD."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        for endpoint in material.survival:
            rows.append(head_row(f"{material.endpoint_title(endpoint)}: {cohort}"))
            rows.extend(_concordance_row(material, cohort, endpoint, model) for model in material.models)
    level = material.level_percent
    columns = (
        Column(label="Model", align="left"),
        Column(label="Events / n"),
        Column(label=f"C without PAD ({level} CI)"),
        Column(label=f"C with PAD ({level} CI)"),
        Column(label=f"Difference ({level} CI)"),
        Column(label="p (LR)"),
    )
    return Table(
        key="concordance",
        title="Harrell's C of the models without and with predicted age difference",
        columns=columns,
        rows=tuple(rows),
        caption="Apparent: fitted and judged on the same subjects, so C flatters the larger model. Competing "
        "events are censored. p: likelihood-ratio test of adding PAD, on the complete cases common to all "
        "models.",
    )


def _concordance_row(material: Material, cohort: str, endpoint: str, model: str) -> Row:
    results, pad = material.results, material.pad(cohort)
    keys = {"endpoint": endpoint, "model": model, "validation": "apparent", "method": "harrell"}
    alone = results.find(cohort, "concordance", "c", predictor=None, **keys)
    cells = (
        Cell(text=model),
        Cell(text=events_of(alone)),
        estimate_cell(alone, "index"),
        estimate_cell(results.find(cohort, "concordance", "c", predictor=pad, **keys), "index"),
        estimate_cell(results.find(cohort, "concordance_difference", "c_difference", **keys), "difference"),
        p_cell(results.find(cohort, "cox", "lr_chi2", predictor=pad, endpoint=endpoint, model=model)),
    )
    return Row(cells=cells, kind="indent")
