"""Tables of follow-up: incidence and hazard ratios."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spinescore.core.reporting.document import Cell, Column, Row, Table
from spinescore.core.reporting.formatting import (
    DASH,
    estimate_cell,
    events_of,
    format_count,
    format_number,
    p_cell,
    state_p,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import (
    LEFT_TO_CALLER,
    PREDICTOR_NAMES,
    Material,
    in_sentence,
    level_title,
)
from spinescore.core.reporting.tables import head_row
from spinescore.domain import Result

STANDARDISED_RATE = "standardised_rate_per_1000_py"
STANDARDISED = marked(
    " Standardised for age band and sex to the person-years of all groups together, with "
    "gamma intervals: compares groups within a cohort, not cohorts."
)
SAMPLE_TITLES = {
    "own_n": marked("each model on its own complete cases"),
    "common_n": marked("all models on the complete cases common to them"),
}


def incidence_table(material: Material) -> Table:
    """Show events, person-years and rates by PAD group."""
    rows: list[Row] = []
    for endpoint in material.survival:
        for cohort in material.cohorts:
            rows.append(head_row(f"{material.endpoint_title(endpoint)}: {cohort}"))
            for group in (None, *material.groups(cohort)):
                rows.append(_incidence_row(material, cohort, endpoint, group))
    horizon = material.study.analysis.horizons_years[0]
    standardised = _has_standardised(material)
    columns = (
        Column(label=_("PAD group"), align="left"),
        Column(label="n"),
        Column(label=_("Events")),
        Column(label=_("Person-years")),
        Column(label=_("Rate per 1,000 person-years ({level} CI)").format(level=material.level_percent)),
        *(
            [Column(label=_("Standardised rate ({level} CI)").format(level=material.level_percent))]
            if standardised
            else []
        ),
        Column(
            label=_("Risk at {horizon:g} years, % ({level} CI)").format(
                horizon=horizon, level=material.level_percent
            )
        ),
    )
    return Table(
        key="incidence",
        title=_("Incidence by group of predicted age difference"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Crude rates with exact Poisson intervals. Risk: cumulative incidence (Aalen-Johansen) "
            "where an event competes; survival (Kaplan-Meier) where none does, marked "
            "S.{standardised}"
        ).format(standardised=_(STANDARDISED) if standardised else ""),
    )


def _has_standardised(material: Material) -> bool:
    return any(result.statistic == STANDARDISED_RATE for result in material.results)


def _incidence_row(material: Material, cohort: str, endpoint: str, group: str | None) -> Row:
    found = material.results.find(
        cohort, "incidence", "rate_per_1000_py", endpoint=endpoint, cause=endpoint, group=group
    )
    years = None if found is None else found.person_years
    cells = (
        Cell(text=_("All") if group is None else material.group_title(cohort, group)),
        Cell(text=format_count(found.n if found else None)),
        Cell(text=format_count(found.events if found else None)),
        Cell(text=DASH if years is None else f"{years:,.0f}"),
        estimate_cell(found, "rate"),
        *_standardised_cells(material, cohort, endpoint, group),
        _risk_cell(material, cohort, endpoint, group),
    )
    return Row(cells=cells, kind="indent")


def _standardised_cells(
    material: Material, cohort: str, endpoint: str, group: str | None
) -> tuple[Cell, ...]:
    if not _has_standardised(material):
        return ()
    keys = {"endpoint": endpoint, "cause": endpoint, "group": group}
    found = material.results.find(cohort, "incidence", STANDARDISED_RATE, **keys)
    return (estimate_cell(found, "rate") if found else Cell(text=""),)


def _risk_cell(material: Material, cohort: str, endpoint: str, group: str | None) -> Cell:
    horizon = material.study.analysis.horizons_years[0]
    competing = material.competing(endpoint)
    names = ("cumulative_incidence", "cif") if competing else ("kaplan_meier", "survival")
    found = material.results.find(
        cohort, *names, endpoint=endpoint, cause=endpoint, group=group, horizon_years=horizon
    )
    cell = estimate_cell(found and as_percent(found), "percent")
    if competing or found is None or found.value is None:
        return cell
    return Cell(text=f"S {cell.text}", notes=cell.notes)


def as_percent(result: Result) -> Result:
    """Express a share in percent: a change of unit for print."""
    scaled = {
        name: None if (v := getattr(result, name)) is None else 100 * v
        for name in ("value", "lower", "upper")
    }
    return replace(result, **scaled)  # type: ignore[arg-type]


def follow_up_table(material: Material) -> Table:
    """Show the median follow-up of each endpoint, and the test between groups."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        rows.append(head_row(material.cohort_title(cohort)))
        for endpoint in material.survival:
            found = material.results.find(cohort, "follow_up", "median_follow_up_years", endpoint=endpoint)
            cells = (
                Cell(text=material.endpoint_title(endpoint)),
                Cell(text=format_count(found.n if found else None)),
                estimate_cell(found, "years"),
                Cell(text=_("Gray") if material.competing(endpoint) else _("log-rank")),
                p_cell(material.group_test(cohort, endpoint)),
            )
            rows.append(Row(cells=cells, kind="indent"))
    columns = (
        Column(label=_("Endpoint"), align="left"),
        Column(label="n"),
        Column(label=_("Median follow-up, years ({level} CI)").format(level=material.level_percent)),
        Column(label=_("Test between PAD groups"), align="left"),
        Column(label="p"),
    )
    return Table(
        key="follow-up",
        title=_("Length of follow-up, and difference between groups of predicted age difference"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Median follow-up by reverse Kaplan-Meier; competing events end follow-up. Tests are unadjusted."
        ),
    )


def hazard_ratio_table(material: Material, sample: str) -> Table:
    """Show hazard ratios per SD of PAD, outcomes by models: the study's Table 2."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        rows.append(head_row(material.cohort_title(cohort)))
        rows.extend(_hazard_rows(material, cohort, sample))
    columns = (
        Column(label=_("Outcome"), align="left"),
        Column(label=_("SD, years")),
        *(
            Column(
                label=model, spanner=_("HR per SD of PAD ({level} CI)").format(level=material.level_percent)
            )
            for model in material.models
        ),
    )
    terms = "; ".join(f"{m}: {', '.join(_terms(material, m))}" for m in material.models)
    return Table(
        key=f"hazard-ratios-{sample.replace('_', '-')}",
        title=_("Hazard ratio per SD of predicted age difference, {sample}").format(
            sample=_(SAMPLE_TITLES[sample])
        ),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Below each hazard ratio: events / n and p (Wald). Cause-specific Cox models. {terms}."
        ).format(terms=terms),
    )


def _terms(material: Material, model: str) -> list[str]:
    return [in_sentence(material.term_title(term)) for term in material.study.models[model]]


def _hazard_rows(material: Material, cohort: str, sample: str) -> Iterator[Row]:
    for endpoint in material.survival:
        found = [_pad_row(material, cohort, endpoint, endpoint, model, sample) for model in material.models]
        scales = {row.scale: None for row in found if row is not None and row.scale is not None}
        spread = ", ".join(format_number(scale, 1) for scale in scales)
        cells = [Cell(text=material.endpoint_title(endpoint)), Cell(text=spread or DASH)]
        cells += [estimate_cell(row, "ratio", detail=_counts_and_p(row)) for row in found]
        yield Row(cells=tuple(cells), kind="indent")


def _pad_row(
    material: Material,
    cohort: str,
    endpoint: str,
    cause: str,
    model: str,
    sample: str,
    statistic: str = "hr_per_sd",
) -> Result | None:
    return material.results.find(
        cohort,
        "cox",
        statistic,
        endpoint=endpoint,
        cause=cause,
        model=model,
        sample=sample,
        predictor=material.pad(cohort),
    )


def _counts_and_p(row: Result | None) -> str:
    if row is None:
        return ""
    counts = events_of(row)
    return f"{counts}; {state_p(row.p_value)}" if row.value is not None else counts


def predictor_table(material: Material, endpoint: str, model: str) -> Table:
    """Set raw and corrected PAD, spine age and chronological age beside one another."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        rows.append(head_row(material.cohort_title(cohort)))
        for predictor, title in PREDICTOR_NAMES.items():
            keys = {
                "endpoint": endpoint,
                "cause": endpoint,
                "model": model,
                "sample": "own_n",
                "predictor": predictor,
            }
            per_sd = material.results.find(cohort, "cox", "hr_per_sd", **keys)
            per_year = material.results.find(cohort, "cox", "hr_per_year", **keys)
            if per_sd is None:
                continue
            spread = DASH if per_sd.scale is None else format_number(per_sd.scale, 1)
            cells = (
                Cell(text=_(title)),
                Cell(text=events_of(per_sd)),
                Cell(text=spread),
                estimate_cell(per_sd, "ratio"),
                estimate_cell(per_year, "ratio"),
                p_cell(per_sd),
            )
            rows.append(Row(cells=cells, kind="indent"))
    level = material.level_percent
    columns = (
        Column(label=_("Predictor"), align="left"),
        Column(label=_("Events / n")),
        Column(label=_("SD, years")),
        Column(label=_("HR per SD ({level} CI)").format(level=level)),
        Column(label=_("HR per year ({level} CI)").format(level=level)),
        Column(label="p"),
    )
    return Table(
        key="predictors",
        title=_("{endpoint}: hazard ratios of ages and age differences, {model}").format(
            endpoint=material.endpoint_title(endpoint), model=model
        ),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "{model}: {terms}; chronological age replaces age in its own row. With age in the "
            "model, the ratio per year is the same for spine age, raw PAD and Beheshti-corrected "
            "PAD; the ratios per SD differ by the SD alone."
        ).format(model=model, terms=", ".join(_terms(material, model))),
    )


def category_table(material: Material) -> Table:
    """Show hazard ratios of PAD groups with p for trend."""
    groups = next((material.groups(c) for c in material.cohorts if material.groups(c)), ())
    rows: list[Row] = []
    for cohort in material.cohorts:
        for endpoint in material.survival:
            rows.append(head_row(f"{material.endpoint_title(endpoint)}: {cohort}"))
            for model in material.models:
                found = [
                    material.results.find(
                        cohort,
                        "cox",
                        "hr_category",
                        endpoint=endpoint,
                        cause=endpoint,
                        model=model,
                        sample="own_n",
                        group=group,
                    )
                    for group in groups
                ]
                cells = [estimate_cell(row, "ratio", detail=events_of(row)) for row in found]
                trend = _pad_row(material, cohort, endpoint, endpoint, model, "own_n", "hr_trend")
                rows.append(Row(cells=(Cell(text=model), *cells, p_cell(trend)), kind="indent"))
    spanner = _("Hazard ratio ({level} CI)").format(level=material.level_percent)
    return Table(
        key="categories",
        title=_("Hazard ratios of groups of predicted age difference"),
        columns=(
            Column(label=_("Model"), align="left"),
            *(Column(label=group, spanner=spanner) for group in groups),
            Column(label=_("p for trend")),
        ),
        rows=tuple(rows),
        caption=_(
            "Below each ratio: events / n of the group. Trend: Wald test of the group number. Each "
            "model on its own complete cases."
        ),
    )


def competing_table(material: Material) -> Table | None:
    """Show cause-specific hazard ratios of the competing events."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        for endpoint in material.survival:
            cause = material.competing(endpoint)
            if cause is None:
                continue
            found = [_pad_row(material, cohort, endpoint, cause, model, "own_n") for model in material.models]
            title = _("{endpoint} before {endpoint2}").format(
                endpoint=material.endpoint_title(cause),
                endpoint2=in_sentence(material.endpoint_title(endpoint)),
            )
            cells = [estimate_cell(row, "ratio", detail=_counts_and_p(row)) for row in found]
            rows.append(Row(cells=(Cell(text=cohort), Cell(text=title), *cells)))
    if not rows:
        return None
    return Table(
        key="competing",
        title=_("Competing events: cause-specific hazard ratio per SD of predicted age difference"),
        columns=(
            Column(label=_("Cohort"), align="left"),
            Column(label=_("Competing event"), align="left"),
            *(Column(label=model) for model in material.models),
        ),
        rows=tuple(rows),
        caption=_("Each model on its own complete cases; below each ratio: events / n and p (Wald)."),
    )


def covariate_table(material: Material, endpoint: str) -> Table:
    """Show the hazard ratios of the covariates beside PAD in each model."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        rows.append(head_row(material.cohort_title(cohort)))
        main = [_pad_row(material, cohort, endpoint, endpoint, model, "own_n") for model in material.models]
        scale = next((row.scale for row in main if row is not None and row.scale is not None), None)
        unit = "" if scale is None else _(", per SD ({scale} years)").format(scale=format_number(scale, 1))
        title = Cell(text=f"{_(PREDICTOR_NAMES[material.pad(cohort)])}{unit}")
        rows.append(Row(cells=(title, *(estimate_cell(row, "ratio") for row in main)), kind="indent"))
        rows.extend(_covariate_rows(material, cohort, endpoint))
        counts = tuple(Cell(text=events_of(row)) for row in main)
        rows.append(Row(cells=(Cell(text=_("Events / n")), *counts), kind="indent"))
    spanner = _("Hazard ratio ({level} CI)").format(level=material.level_percent)
    return Table(
        key="covariates",
        title=_("{endpoint}: all coefficients of the models").format(
            endpoint=material.endpoint_title(endpoint)
        ),
        columns=(
            Column(label=_("Term"), align="left"),
            *(Column(label=m, spanner=spanner) for m in material.models),
        ),
        rows=tuple(rows),
        caption=_(
            "Coefficients of covariates are adjusted for one another and are not effects to be "
            "read by themselves. Continuous covariates per unit; categorical ones against the "
            "reference level."
        ),
    )


def _covariate_rows(material: Material, cohort: str, endpoint: str) -> Iterator[Row]:
    shared = {"endpoint": endpoint, "cause": endpoint, "sample": "own_n", "predictor": material.pad(cohort)}
    terms: dict[tuple[str, str], None] = {}
    for statistic in ("hr_per_unit", "hr_category"):
        for row in material.results.every(cohort, "cox", statistic, term=LEFT_TO_CALLER, **shared):
            if row.term:
                terms.setdefault((row.term, statistic), None)
    for term, statistic in terms:
        found = [
            material.results.find(cohort, "cox", statistic, term=term, model=model, **shared)
            for model in material.models
        ]
        reference = next((row.comparator for row in found if row is not None and row.comparator), None)
        cells = (estimate_cell(row, "ratio") if row else Cell(text="") for row in found)
        yield Row(cells=(Cell(text=_term_level(material, term, reference)), *cells), kind="indent")


def _term_level(material: Material, term: str, reference: str | None) -> str:
    name, sign, level = term.partition("=")
    title = material.term_title(name)
    if not sign:
        return (
            _("{title}, per year").format(title=title)
            if name == "age"
            else _("{title}, per unit").format(title=title)
        )
    if level.removesuffix(".0") == "1" and (reference or "").removesuffix(".0") == "0":
        return _("{title}, yes against no").format(title=title)
    return _("{title}, {level} against {reference}").format(
        title=title,
        level=in_sentence(level_title(level)),
        reference=in_sentence(level_title(reference or "")),
    )
