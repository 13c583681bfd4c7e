"""Subgroups: the hazard ratio of PAD within levels, and what the models predict there."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import Block, Cell, Column, Paragraph, Row, Section, Table, make_key
from spinescore.core.reporting.follow_up_figures import ForestRow, forest_figure
from spinescore.core.reporting.formatting import (
    DASH,
    Quantity,
    describe_cautions,
    estimate_cell,
    events_of,
    format_p,
    state_p,
    value_cell,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import LEFT_TO_CALLER, Material, in_sentence, level_title
from spinescore.core.reporting.prediction_tables import VALIDATIONS
from spinescore.core.reporting.stored_words import stored_text
from spinescore.core.reporting.survival_tables import as_percent
from spinescore.core.reporting.tables import head_row, stacked_cell
from spinescore.domain import Result

TITLE = marked("Subgroups")
READING = marked(
    "Each line is a model of its own within the level, per the SD of the whole cohort. "
    "Whether predicted age difference (PAD) matters more in one level than in another is "
    "the question of the interaction test alone: that one level's interval crosses 1 and "
    "another's does not is no evidence of a difference. Few studies have the events to "
    "find an interaction; a large p is not evidence that there is none."
)
JUDGED: tuple[tuple[str, Quantity], ...] = (
    ("o_e_ratio", "ratio"),
    ("calibration_intercept", "coefficient"),
    ("calibration_slope", "coefficient"),
)


def subgroup_section(material: Material) -> Section:
    """Show hazard ratios and predictions by subgroup; empty where none was analysed."""
    drawn = any(_levels(material, c, e) for c in material.cohorts for e in material.survival)
    blocks: list[Block | None] = []
    if drawn:
        figures = [subgroup_forest(material, e) for e in material.survival]
        blocks = [Paragraph(text=_(READING)), *figures, subgroup_table(material)]
    blocks.append(subgroup_prediction_table(material))
    return Section(key="subgroups", title=_(TITLE), blocks=tuple(b for b in blocks if b is not None))


def subgroup_title(material: Material, subgroup: str) -> str:
    """Return the name of a variable or of one of its levels, as ``Age 60–70``."""
    name, sign, level = subgroup.partition("=")
    if not sign:
        return _("Age at imaging") if name == "age_band" else material.term_title(name)
    return (
        _("Age {replace}").format(replace=level.replace("-", "–"))
        if name == "age_band"
        else level_title(level)
    )


def _levels(material: Material, cohort: str, endpoint: str) -> dict[str, list[str]]:
    """Return the levels of each variable that has several, in the order they were computed."""
    keys = {"endpoint": endpoint, "subgroup": LEFT_TO_CALLER}
    levels: dict[str, list[str]] = {}
    for row in material.results.every(cohort, "subgroup", "hr_per_sd", **keys):
        own = levels.setdefault((row.subgroup or "").partition("=")[0], [])
        if row.subgroup and row.subgroup not in own:
            own.append(row.subgroup)
    return {name: own for name, own in levels.items() if len(own) > 1}


def _row(material: Material, cohort: str, endpoint: str, model: str, subgroup: str) -> Result | None:
    statistic = "hr_per_sd" if "=" in subgroup else "interaction_chi2"
    keys = {"endpoint": endpoint, "model": model, "subgroup": subgroup}
    return material.results.find(cohort, "subgroup", statistic, **keys)


def subgroup_forest(material: Material, endpoint: str) -> Block | None:
    """Draw the hazard ratios of the primary model by subgroup, with the interaction's p."""
    model = material.primary_model or ""
    rows: list[ForestRow] = []
    for cohort in material.cohorts:
        levels = _levels(material, cohort, endpoint)
        rows += [ForestRow(label=cohort)] if levels else []
        for name, subgroups in levels.items():
            test = _row(material, cohort, endpoint, model, name)
            p = "" if test is None else format_p(test.p_value)
            rows.append(ForestRow(label=subgroup_title(material, name), p=p))
            found = ((s, _row(material, cohort, endpoint, model, s)) for s in subgroups)
            rows += [ForestRow(label=subgroup_title(material, s), result=r, p="") for s, r in found if r]
    title = material.endpoint_title(endpoint)
    return forest_figure(
        f"subgroups-{make_key(endpoint)}",
        _("{title}: hazard ratio per SD of predicted age difference in subgroups, {model}").format(
            title=title, model=model
        ),
        _(
            "Squares: estimates; bars: {level} confidence intervals, on a log scale, cut where "
            "they leave it. p: likelihood-ratio test of interaction, in the line of the variable. "
            "Levels without a mark could not be estimated; the table says why.{caution}"
        ).format(level=material.level_percent, caution=material.correction_caution),
        _(
            "Forest plot of hazard ratios of {title} per standard deviation of predicted age "
            "difference within subgroups by cohort; the numbers are printed beside the marks."
        ).format(title=in_sentence(title)),
        rows,
        p_head=_("p (inter.)"),
    )


def subgroup_table(material: Material) -> Table:
    """Show hazard ratios by subgroup in every model, with events, n and the interaction's p."""
    rows: list[Row] = []
    for endpoint in material.survival:
        for cohort in material.cohorts:
            found = list(_subgroup_rows(material, cohort, endpoint))
            rows += [head_row(f"{material.endpoint_title(endpoint)}: {cohort}"), *found] if found else []
    spanner = _("HR per SD of PAD ({level} CI)").format(level=material.level_percent)
    return Table(
        key="subgroups",
        title=_("Hazard ratio per SD of predicted age difference in subgroups"),
        columns=(
            Column(label=_("Subgroup"), align="left"),
            *(Column(label=model, spanner=spanner) for model in material.models),
        ),
        rows=tuple(rows),
        caption=_(
            "Cox models, cause-specific where events compete, fitted within each level without its "
            "own covariate (age stays in age bands, which include their lower bound and not their "
            "upper one); per the SD of the whole cohort. Below each ratio: events / n. "
            "Interaction: likelihood-ratio test of slopes by level against one slope. Not adjusted "
            "for the number of subgroups."
        ),
    )


def _subgroup_rows(material: Material, cohort: str, endpoint: str) -> Iterator[Row]:
    for name, subgroups in _levels(material, cohort, endpoint).items():
        tests = [_row(material, cohort, endpoint, model, name) for model in material.models]
        yield Row(cells=(Cell(text=subgroup_title(material, name)), *(_test_cell(t) for t in tests)))
        for subgroup in subgroups:
            found = [_row(material, cohort, endpoint, model, subgroup) for model in material.models]
            cells = (estimate_cell(row, "ratio", detail=events_of(row)) for row in found)
            yield Row(cells=(Cell(text=subgroup_title(material, subgroup)), *cells), kind="indent")


def _test_cell(test: Result | None) -> Cell:
    if test is None:
        return Cell(text="")
    notes = describe_cautions(test)
    if test.status == "ok" and test.note:
        notes = (*notes, stored_text(test.note))
    p = DASH if test.p_value is None else state_p(test.p_value)
    return Cell(text=_("interaction {p}").format(p=p), notes=notes)


def subgroup_prediction_table(material: Material) -> Table | None:
    """Show C and calibration of the model with PAD within levels; None where not judged."""
    rows: list[Row] = []
    for endpoint in (*material.survival, *material.binary):
        for cohort in material.cohorts:
            found = list(_judged_rows(material, cohort, endpoint, "external"))
            rows += found or list(_judged_rows(material, cohort, endpoint, "apparent"))
    if not rows:
        return None
    return Table(
        key="subgroup-predictions",
        title=_("What {model} with predicted age difference predicts in subgroups").format(
            model=material.primary_model
        ),
        columns=(
            Column(label=_("Subgroup"), align="left"),
            Column(label=_("Events / n")),
            Column(label="C"),
            Column(label=_("Observed risk, %")),
            Column(label=_("Predicted, %")),
            Column(label=_("Observed / predicted")),
            Column(label=_("Intercept")),
            Column(label=_("Slope")),
        ),
        rows=tuple(rows),
        caption=_(
            "One model fitted to everybody, judged within each level; risks at the longest horizon "
            "for events over time. C: Harrell's, over all follow-up. Below: {level} confidence "
            "intervals. External where the model was fitted in another cohort, else apparent, of "
            "the subjects it was fitted to. An intercept away from 0 says that the level's risk is "
            "misjudged on the whole; C depends on how alike a level's members are and does not "
            "compare between levels."
        ).format(level=material.level_percent),
    )


def _judged_rows(material: Material, cohort: str, endpoint: str, validation: str) -> Iterator[Row]:
    keys = {"endpoint": endpoint, "model": material.primary_model, "validation": validation}
    keys["predictor"] = material.pad(cohort)
    everybody = material.results.every(cohort, "calibration", "o_e_ratio", subgroup=LEFT_TO_CALLER, **keys)
    found = [row for row in everybody if row.subgroup]
    if found:
        horizon = found[0].horizon_years
        until = "" if horizon is None else _(" at {horizon:g} years").format(horizon=horizon)
        yield head_row(f"{material.endpoint_title(endpoint)}{until}: {cohort}, {_(VALIDATIONS[validation])}")
    for row in found:
        yield _judged_row(material, cohort, row, {**keys, "subgroup": row.subgroup})


def _judged_row(material: Material, cohort: str, row: Result, keys: dict[str, str | None]) -> Row:
    find = material.results.find
    c = find(cohort, "concordance", "c", **keys)
    at = {**keys, "horizon_years": row.horizon_years}
    risks = (find(cohort, "calibration", name, **at) for name in ("observed_risk", "mean_predicted_risk"))
    cells = (
        Cell(text=_full_title(material, row.subgroup or "")),
        Cell(text=events_of(row)),
        stacked_cell(c, "index") if c else Cell(text=""),
        *(value_cell(risk and as_percent(risk), "percent") for risk in risks),
        *(stacked_cell(find(cohort, "calibration", name, **at), quantity) for name, quantity in JUDGED),
    )
    return Row(cells=cells, kind="indent")


def _full_title(material: Material, subgroup: str) -> str:
    name = subgroup.partition("=")[0]
    title = subgroup_title(material, subgroup)
    return title if name in {"sex", "age_band", "kind"} else f"{subgroup_title(material, name)}: {title}"
