"""Tables of competing events and of time lost: Fine and Gray beside cause-specific, restricted means."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import Cell, Column, Row, Table
from spinescore.core.reporting.formatting import estimate_cell, events_of, p_cell
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.material import Material, in_sentence
from spinescore.core.reporting.tables import head_row


def fine_gray_table(material: Material) -> Table | None:
    """Show subdistribution beside cause-specific hazard ratios of both events; None where not fitted."""
    rows: list[Row] = []
    for endpoint in material.survival:
        for cohort in material.cohorts:
            found = list(_fine_gray_rows(material, cohort, endpoint))
            rows += [head_row(f"{material.endpoint_title(endpoint)}: {cohort}"), *found] if found else []
    if not rows:
        return None
    level = material.level_percent
    return Table(
        key="fine-gray",
        title=_(
            "Competing events: cause-specific and subdistribution hazard ratio per SD of predicted "
            "age difference"
        ),
        columns=(
            Column(label=_("Event"), align="left"),
            Column(label=_("Model"), align="left"),
            Column(label=_("Events / n")),
            Column(label=_("HR ({level} CI)").format(level=level), spanner=_("Cause-specific")),
            Column(label="p", spanner=_("Cause-specific")),
            Column(label=_("SHR ({level} CI)").format(level=level), spanner=_("Subdistribution")),
            Column(label="p", spanner=_("Subdistribution")),
        ),
        rows=tuple(rows),
        caption=_(
            "Cause-specific: Cox model of the rate among those free of both events. "
            "Subdistribution: Fine and Gray's model of the cumulative incidence, with sandwich "
            "errors. The second says how the share that has the event differs, also because the "
            "competing event takes subjects away: it is not a rate ratio, and the two answer "
            "different questions. First: before the event of the head. Each model on its own "
            "complete cases."
        ),
    )


def _fine_gray_rows(material: Material, cohort: str, endpoint: str) -> Iterator[Row]:
    rival = material.competing(endpoint)
    for cause in (endpoint, rival) if rival else ():
        title = material.endpoint_title(cause)
        for model in material.models:
            keys = {"endpoint": endpoint, "cause": cause, "model": model, "sample": "own_n"}
            keys["predictor"] = material.pad(cohort)
            share = material.results.find(cohort, "fine_gray", "shr_per_sd", **keys)
            if share is None:
                continue
            rate = material.results.find(cohort, "cox", "hr_per_sd", **keys)
            cells = (
                Cell(text=title if cause == endpoint else _("{title} first").format(title=title)),
                Cell(text=model),
                Cell(text=events_of(share)),
                estimate_cell(rate, "ratio"),
                p_cell(rate),
                estimate_cell(share, "ratio"),
                p_cell(share),
            )
            yield Row(cells=cells, kind="indent")


def restricted_mean_table(material: Material) -> Table | None:
    """Show mean time without the event, or lost to it, by PAD group; None where not computed."""
    rows: list[Row] = []
    for endpoint in material.survival:
        for cohort in material.cohorts:
            for cause in (endpoint, material.competing(endpoint)):
                rows.extend(_mean_rows(material, cohort, endpoint, cause) if cause else ())
    if not rows:
        return None
    return Table(
        key="restricted-mean",
        title=_("Mean time without the event, or lost to it, by group of predicted age difference"),
        columns=(
            Column(label=_("PAD group"), align="left"),
            Column(label=_("Events / n")),
            Column(label=_("Years ({level} CI)").format(level=material.level_percent)),
            Column(label="p"),
        ),
        rows=tuple(rows),
        caption=_(
            "Restricted to the longest horizon. Where nothing competes: mean years without the "
            "event (area under the survival curve). Where an event competes: mean years lost to "
            "the event. Unadjusted: groups differ in more than predicted age difference, so the "
            "difference is no effect of it."
        ),
    )


def _mean_rows(material: Material, cohort: str, endpoint: str, cause: str) -> Iterator[Row]:
    name = "time_lost" if material.competing(endpoint) else "rmst"
    keys = {"endpoint": endpoint, "cause": cause}
    whole = material.results.find(cohort, "restricted_mean", f"{name}_years", group=None, **keys)
    if whole is None or whole.horizon_years is None:
        return
    title = material.endpoint_title(endpoint)
    if cause != endpoint:
        title = _("{endpoint} before {title}").format(
            endpoint=material.endpoint_title(cause), title=in_sentence(title)
        )
    what = _("years lost") if name == "time_lost" else _("years without it")
    yield head_row(
        _("{title}, {what} of {horizon_years:g}: {cohort}").format(
            title=title, what=what, horizon_years=whole.horizon_years, cohort=cohort
        )
    )
    for group in (None, *material.groups(cohort)):
        row = material.results.find(cohort, "restricted_mean", f"{name}_years", group=group, **keys)
        label = _("All") if group is None else material.group_title(cohort, group)
        cells = (Cell(text=label), Cell(text=events_of(row)), estimate_cell(row, "coefficient"))
        yield Row(cells=(*cells, Cell(text="")), kind="indent")
    for group in material.groups(cohort):
        change = material.results.find(
            cohort, "restricted_mean", f"{name}_difference_years", group=group, **keys
        )
        if change is not None:
            contrast = Cell(
                text=_("{group} minus {comparator}").format(group=change.group, comparator=change.comparator)
            )
            cells = (contrast, Cell(text=events_of(change)), estimate_cell(change, "coefficient"))
            yield Row(cells=(*cells, p_cell(change)), kind="indent")
