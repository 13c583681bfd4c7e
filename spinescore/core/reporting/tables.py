"""Tables of people, accuracy and discrimination."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from spinescore.core.reporting.document import Cell, Column, Row, Table, make_key
from spinescore.core.reporting.formatting import (
    DASH,
    describe_cautions,
    estimate_cell,
    events_of,
    format_count,
    format_estimate,
    format_number,
    p_cell,
    value_cell,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import LEFT_TO_CALLER, PREDICTOR_NAMES, Material, level_title
from spinescore.core.reporting.stored_words import stored_text
from spinescore.domain import Result

ACCURACY_COLUMNS = (
    ("mae", marked("MAE, years"), "error"),
    ("rmse", marked("RMSE, years"), "error"),
    ("mean_pad", marked("Mean PAD, years"), "error"),
    ("sd_pad", marked("SD of PAD, years"), "error"),
    ("r", "r", "coefficient"),
    ("r2", "R²", "coefficient"),
    ("ccc", "CCC", "coefficient"),
    ("slope", marked("Slope"), "coefficient"),
)
INTERVALS_PERCENT = (50, 80, 90, 95)


def head_row(text: str) -> Row:
    """Return a head over the rows that follow."""
    return Row(cells=(Cell(text=text),), kind="group")


def endpoint_counts_table(material: Material) -> Table:
    """Count who is in the analysis of each endpoint, and why the others are not."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        rows.append(head_row(material.cohort_title(cohort)))
        frame = material.attrition
        chosen = frame.filter((frame["cohort"] == cohort) & frame["endpoint"].is_not_null())
        for endpoint in (*material.binary, *material.survival):
            steps = chosen.filter(chosen["endpoint"] == endpoint).sort("position")
            if steps.is_empty():
                continue
            pairs = steps.select("reason", "n_excluded").iter_rows()
            left = [f"{stored_text(reason)} {n:,}" for reason, n in pairs if n]
            cells = (
                Cell(text=material.endpoint_title(endpoint)),
                Cell(text=format_count(steps["n_remaining"][-1])),
                Cell(text="; ".join(left) or _("nobody")),
            )
            rows.append(Row(cells=cells, kind="indent"))
    columns = (
        Column(label=_("Endpoint"), align="left"),
        Column(label=_("Analysed, n")),
        Column(label=_("Left out, n"), align="left"),
    )
    return Table(
        key="endpoints", title=_("Subjects analysed for each endpoint"), columns=columns, rows=tuple(rows)
    )


def table_one(material: Material, cohort: str) -> Table:
    """Describe a cohort by PAD group, with what is missing and the standardised difference."""
    groups = ("overall", *material.groups(cohort))
    found = material.results.every(cohort, "table_one", "n", group="overall", term=LEFT_TO_CALLER)
    terms = [row.term for row in found if row.term and row.term != "subjects"]
    rows: list[Row] = []
    for term in terms:
        rows.extend(_variable_rows(material, cohort, term, groups))
    spanner = _("{predictor}, groups").format(predictor=_(PREDICTOR_NAMES[material.pad(cohort)]))
    heads = []
    for group in groups:
        size = material.results.find(cohort, "table_one", "n", term="subjects", group=group)
        n = f"n = {format_count(size.value if size else None)}"
        if group == "overall":
            heads.append(Column(label=_("All\n{n}").format(n=n)))
        else:
            heads.append(Column(label=f"{material.group_title(cohort, group)}\n{n}", spanner=spanner))
    return Table(
        key=f"table-one-{make_key(cohort)}",
        title=_("Characteristics of {cohort} by group of predicted age difference").format(cohort=cohort),
        columns=(Column(label="", align="left"), *heads, Column(label=_("SMD")), Column(label=_("Missing"))),
        rows=tuple(rows),
        caption=_(
            "Mean (SD) and median (quartiles) for continuous variables, n (% of those known) for "
            "categorical ones. SMD: standardised difference of the highest against the lowest "
            "group. Groups are cut over the whole cohort."
        ),
    )


def _variable_rows(material: Material, cohort: str, term: str, groups: Sequence[str]) -> Iterable[Row]:
    results = material.results
    smd = results.find(cohort, "table_one", "smd", term=term)
    missing = results.find(cohort, "table_one", "missing", term=term, group="overall")
    last = (value_cell(smd, "coefficient"), Cell(text=format_count(missing.value if missing else None)))
    title = Cell(text=material.term_title(term))
    if results.find(cohort, "table_one", "mean", term=term, group="overall"):
        means = tuple(_pair(material, cohort, term, group) for group in groups)
        yield Row(cells=(title, *means, *last))
        medians = tuple(_quartiles(material, cohort, term, group) for group in groups)
        yield Row(
            cells=(Cell(text=_("median (quartiles)")), *medians, Cell(text=""), Cell(text="")), kind="indent"
        )
        return
    found = results.every(cohort, "table_one", "count", term=term, group="overall")
    levels = [row.comparator for row in found if row.comparator is not None]
    if {level.removesuffix(".0") for level in levels} == {"0", "1"}:
        counts = tuple(_count(material, cohort, term, levels[-1], group) for group in groups)
        yield Row(cells=(title, *counts, *last))
        return
    empty = tuple(Cell(text="") for _group in groups)
    yield Row(cells=(title, *empty, *last))
    for level in levels:
        counts = tuple(_count(material, cohort, term, level, group) for group in groups)
        yield Row(cells=(Cell(text=level_title(level)), *counts, Cell(text=""), Cell(text="")), kind="indent")


def _pair(material: Material, cohort: str, term: str, group: str) -> Cell:
    mean = material.results.find(cohort, "table_one", "mean", term=term, group=group)
    sd = material.results.find(cohort, "table_one", "sd", term=term, group=group)
    if mean is None or mean.value is None:
        return Cell(text=DASH, notes=describe_cautions(mean) if mean else ())
    spread = DASH if sd is None or sd.value is None else format_number(sd.value, 1)
    return Cell(text=f"{format_number(mean.value, 1)} ({spread})")


def _quartiles(material: Material, cohort: str, term: str, group: str) -> Cell:
    rows = [
        material.results.find(cohort, "table_one", s, term=term, group=group) for s in ("median", "q1", "q3")
    ]
    numbers = [row.value for row in rows if row is not None and row.value is not None]
    if len(numbers) < 3:
        return Cell(text=DASH)
    median, low, high = (format_number(number, 1) for number in numbers)
    join = _(" to ") if numbers[1] < 0 else "–"
    return Cell(text=f"{median} ({low}{join}{high})")


def _count(material: Material, cohort: str, term: str, level: str | None, group: str) -> Cell:
    keys = {"term": term, "group": group, "comparator": level}
    count = material.results.find(cohort, "table_one", "count", **keys)
    percent = material.results.find(cohort, "table_one", "percent", **keys)
    if count is None or count.value is None:
        return Cell(text=DASH)
    share = DASH if percent is None or percent.value is None else format_number(percent.value, 1)
    return Cell(text=f"{format_count(count.value)} ({share})")


def accuracy_table(material: Material) -> Table:
    """Show accuracy of raw ages, with the corrected ages on the line below."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        rows.append(head_row(material.cohort_title(cohort)))
        for predictor in ("spine_age_raw", "spine_age_corrected"):
            if material.results.find(cohort, "accuracy", "mae", predictor=predictor):
                rows.append(_accuracy_row(material, cohort, predictor, None, _(PREDICTOR_NAMES[predictor])))
    return Table(
        key="accuracy",
        title=_("Accuracy of spine age against chronological age"),
        columns=_accuracy_heads(_("Age")),
        rows=tuple(rows),
        caption=_(
            "Estimate with {level} confidence interval below where one is computed. MAE: mean "
            "absolute error; PAD: predicted age difference, spine age minus chronological age; R²: "
            "about the line of identity, may be negative; CCC: Lin's concordance correlation; "
            "slope: of spine age on chronological age."
        ).format(level=material.level_percent),
    )


def accuracy_by_subgroup_table(material: Material) -> Table:
    """Show the accuracy of raw ages in subgroups, where there are any."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        found = material.results.every(
            cohort, "accuracy", "mae", predictor="spine_age_raw", subgroup=LEFT_TO_CALLER
        )
        named = [row.subgroup for row in found if row.subgroup]
        if named:
            rows.append(head_row(material.cohort_title(cohort)))
        rows.extend(_accuracy_row(material, cohort, "spine_age_raw", s, _subgroup_title(s)) for s in named)
    return Table(
        key="accuracy-subgroups",
        title=_("Accuracy of raw spine age in subgroups"),
        columns=_accuracy_heads(_("Subgroup")),
        rows=tuple(rows),
        caption=_("Age bands include their lower bound and not their upper one."),
    )


def interval_coverage_table(material: Material) -> Table:
    """Show how often the network's central intervals hold the age; no rows if none is known."""
    rows = []
    for cohort in material.cohorts:
        found = [
            material.results.find(
                cohort, "accuracy", f"interval_coverage_{percent}", predictor="spine_age_raw", subgroup=None
            )
            for percent in INTERVALS_PERCENT
        ]
        if found[0] is not None:
            cells = (Cell(text=material.cohort_title(cohort)), Cell(text=format_count(found[0].n)))
            rows.append(Row(cells=cells + tuple(_percent_cell(result) for result in found)))
    return Table(
        key="interval-coverage",
        title=_("How often the age lies in the interval the network gives"),
        columns=(
            Column(label=_("Cohort"), align="left"),
            Column(label="n"),
            *(
                Column(label=_("{percent}% interval").format(percent=percent))
                for percent in INTERVALS_PERCENT
            ),
        ),
        rows=tuple(rows),
        caption=_(
            "Percentage of subjects whose chronological age lies in the central interval of their "
            "index image's age distribution, with Wilson's {level} confidence interval. Less than "
            "nominal: the network is surer of itself than its errors allow."
        ).format(level=material.level_percent),
    )


def _percent_cell(result: Result | None) -> Cell:
    if result is None or result.value is None or result.lower is None or result.upper is None:
        return Cell(text=DASH)
    scaled = replace(result, value=100 * result.value, lower=100 * result.lower, upper=100 * result.upper)
    return estimate_cell(scaled, "percent")


def _accuracy_heads(first: str) -> tuple[Column, ...]:
    return (
        Column(label=first, align="left"),
        Column(label="n"),
        *(Column(label=_(head)) for _name, head, _quantity in ACCURACY_COLUMNS),
    )


def _accuracy_row(material: Material, cohort: str, predictor: str, subgroup: str | None, title: str) -> Row:
    cells = [Cell(text=title)]
    for statistic, _head, quantity in ACCURACY_COLUMNS:
        keys = {"predictor": predictor, "subgroup": subgroup}
        found = material.results.find(cohort, "accuracy", statistic, **keys)
        if statistic == "mae":
            cells.append(Cell(text=format_count(found.n if found else None)))
        cells.append(stacked_cell(found, quantity))
    return Row(cells=tuple(cells), kind="indent")


def stacked_cell(result: Result | None, quantity: str) -> Cell:
    """Return a cell with the interval below the estimate."""
    cell = estimate_cell(result, quantity)  # type: ignore[arg-type]
    value, _bracket, interval = cell.text.partition(" (")
    return Cell(text=value, detail=interval.removesuffix(")"), notes=cell.notes)


def _subgroup_title(subgroup: str) -> str:
    name, _sign, level = subgroup.partition("=")
    if name == "age_band":
        return _("Age {replace}").format(replace=level.replace("-", "–"))
    return level_title(level) if name in {"sex", "kind"} else level


def auc_table(material: Material) -> Table:
    """Show areas under the ROC curve and the paired difference against chronological age."""
    rows: list[Row] = []
    for endpoint in material.binary:
        for cohort in material.cohorts:
            rows.append(head_row(f"{material.endpoint_title(endpoint)}: {cohort}"))
            for predictor in (
                "spine_age_raw",
                "chronological_age",
                "pad_raw",
                "pad_corrected",
                "spine_age_corrected",
            ):
                keys = {"endpoint": endpoint, "predictor": predictor, "model": None}
                found = material.results.find(cohort, "auc", "auc", **keys)
                if found is None:
                    continue
                contrast = material.results.find(cohort, "auc_difference", "auc_difference", **keys)
                cells = (
                    Cell(text=_(PREDICTOR_NAMES[predictor])),
                    Cell(text=events_of(found)),
                    estimate_cell(found, "index"),
                    estimate_cell(contrast, "difference") if contrast else Cell(text=""),
                    p_cell(contrast) if contrast else Cell(text=""),
                )
                rows.append(Row(cells=cells, kind="indent"))
    columns = (
        Column(label=_("Predictor"), align="left"),
        Column(label=_("Cases / n")),
        Column(label=_("AUC ({level} CI)").format(level=material.level_percent)),
        Column(
            label=_("Difference from chronological age ({level} CI)").format(level=material.level_percent)
        ),
        Column(label="p"),
    )
    return Table(
        key="auc",
        title=_("Discrimination of prevalent disease"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Empirical area with DeLong's interval; the difference and its p are from the paired "
            "DeLong test on the same subjects. Higher is taken to mean disease, so an area may be "
            "below 0.5."
        ),
    )


def fitted_auc_table(material: Material) -> Table:
    """Show the areas of logistic models without and with PAD, and the odds ratio of PAD."""
    rows: list[Row] = []
    for endpoint in material.binary:
        for cohort in material.cohorts:
            rows.append(head_row(f"{material.endpoint_title(endpoint)}: {cohort}"))
            for model in material.models:
                rows.append(_fitted_row(material, cohort, endpoint, model))
    level = material.level_percent
    columns = (
        Column(label=_("Model"), align="left"),
        Column(label=_("Cases / n")),
        Column(label=_("SD, years")),
        Column(label=_("OR per SD of PAD ({level} CI)").format(level=level)),
        Column(label=_("AUC without PAD")),
        Column(label=_("AUC with PAD")),
        Column(label=_("Difference ({level} CI)").format(level=level)),
        Column(label="p (LR)"),
    )
    return Table(
        key="fitted-auc",
        title=_("Logistic models of prevalent disease without and with predicted age difference"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Areas are apparent: fitted and judged on the same subjects, so they flatter the "
            "larger model. The likelihood-ratio test is on the complete cases common to all "
            "models; no DeLong p is given for nested models."
        ),
    )


def _fitted_row(material: Material, cohort: str, endpoint: str, model: str) -> Row:
    results, pad = material.results, material.pad(cohort)
    keys = {"endpoint": endpoint, "model": model, "predictor": pad}
    odds = results.find(cohort, "logistic", "or_per_sd", sample="own_n", **keys)
    fitted = keys | {"validation": "apparent"}
    alone = results.find(cohort, "auc", "auc", **fitted | {"predictor": None})
    both = results.find(cohort, "auc", "auc", **fitted)
    cells = (
        Cell(text=model),
        Cell(text=events_of(odds)),
        Cell(text="" if odds is None or odds.scale is None else format_number(odds.scale, 1)),
        estimate_cell(odds, "ratio"),
        Cell(text="" if alone is None else format_estimate(alone, "index").partition(" (")[0]),
        Cell(text="" if both is None else format_estimate(both, "index").partition(" (")[0]),
        estimate_cell(results.find(cohort, "auc_difference", "auc_difference", **fitted), "difference"),
        p_cell(results.find(cohort, "logistic", "lr_chi2", **keys)),
    )
    return Row(cells=cells, kind="indent")
