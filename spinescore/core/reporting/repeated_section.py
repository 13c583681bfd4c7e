"""Repeated images: what images of one day say of measurement error, and images of several of change."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import Block, Callout, Cell, Column, Paragraph, Row, Section, Table
from spinescore.core.reporting.formatting import (
    DASH,
    Quantity,
    describe_cautions,
    format_count,
    format_number,
    format_range,
    value_cell,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import gettexts, marked, ngettext
from spinescore.core.reporting.material import PREDICTOR_NAMES, Material, level_title
from spinescore.core.reporting.repeated_figures import agreement_figure, change_figure
from spinescore.core.reporting.survival_tables import as_percent
from spinescore.core.reporting.tables import head_row, stacked_cell
from spinescore.domain import Result

TITLE = marked("Repeated images")
ERROR_PREDICTORS = ("spine_age_raw", "pad_raw", "pad_corrected")
CHANGE_PREDICTORS = ("pad_raw", "pad_corrected")
CAUTIONS = (
    marked(
        "Images of one day leave out what differs between visits (positioning, device, "
        "software): the error between visits is larger, and the smallest detectable change "
        "with it."
    ),
    marked(
        "Who is imaged again, and when, is not left to chance: subjects with repeats are not a "
        "sample of the cohort."
    ),
    marked(
        "A model whose ages lean towards the mean lets raw predicted age difference fall as "
        "its owner ages, whatever the spine does: read changes of the corrected one."
    ),
)
COUNTS = (
    ("n_subjects", marked("Subjects")),
    ("n_images", marked("Images")),
    ("n_identical_images", marked("Copies left out")),
    ("n_undated_images", marked("Undated left out")),
    ("n_repeated_subjects", marked("Two images of one day")),
    ("n_one_day", marked("One day only")),
    ("n_span_too_short", marked("Days too close")),
    ("n_followed", marked("Followed")),
)


def repeated_section(material: Material) -> Section:
    """Show measurement error and change per year, or say in a line that there is nothing to show them by."""
    counted = [(c, kind) for c in material.cohorts for kind in _kinds(material, c)]
    if not counted:
        return Section(key="repeated-images", title=_(TITLE), blocks=())
    if not any(_has_repeats(material, cohort, kind) for cohort, kind in counted):
        return Section(
            key="repeated-images", title=_(TITLE), blocks=(Paragraph(text=_nothing_text(material)),)
        )
    blocks: list[Block | None] = [
        Paragraph(text=_reading_text(material)),
        counts_table(material),
        error_table(material),
        agreement_figure(material),
        change_table(material),
        change_figure(material),
        Callout(title=_("What repeated images do not show"), items=gettexts(CAUTIONS), severity="note"),
    ]
    present = tuple(block for block in blocks if block is not None)
    return Section(key="repeated-images", title=_(TITLE), blocks=present)


def has_repeats(material: Material) -> bool:
    """Whether any subject has two images of one kind that are told apart."""
    return any(_has_repeats(material, c, kind) for c in material.cohorts for kind in _kinds(material, c))


def _kinds(material: Material, cohort: str) -> list[str]:
    kinds = ("radiograph", "vfa")
    return [kind for kind in kinds if _find(material, cohort, kind, "n_subjects") is not None]


def _find(material: Material, cohort: str, kind: str, statistic: str, **keys: object) -> Result | None:
    return material.results.find(cohort, "repeated_images", statistic, subgroup=f"kind={kind}", **keys)


def _count(material: Material, cohort: str, kind: str, statistic: str) -> int:
    found = _find(material, cohort, kind, statistic)
    return 0 if found is None or found.n is None else found.n


def _has_repeats(material: Material, cohort: str, kind: str) -> bool:
    names = ("n_repeated_subjects", "n_span_too_short", "n_followed")
    return any(_count(material, cohort, kind, name) for name in names)


def _nothing_text(material: Material) -> str:
    copies = sum(
        _count(material, c, kind, "n_identical_images")
        for c in material.cohorts
        for kind in _kinds(material, c)
    )
    aside = ""
    if copies:
        aside = ngettext(
            " ({n:,} further image was a copy of another of the same subject)",
            " ({n:,} further images were copies of another of the same subject)",
            copies,
        ).format(n=copies)
    text = (
        _(
            "No subject of these cohorts has two images of one kind{aside}, so neither the measurement "
            "error of spine age nor its change over time could be estimated."
        )
        if material.imported is None
        else _(
            "No subject of these cohorts has two ages of one kind{aside}, so neither the measurement "
            "error of spine age nor its change over time could be estimated."
        )
    )
    return text.format(aside=aside)


def _reading_text(material: Material) -> str:
    years = material.study.analysis.repeat_min_years
    return _(
        "Two images of a person on one day differ by measurement error; images of several days "
        "differ by error and by change. A predicted age difference (PAD) that does not change "
        "means a spine that ages by a year a year. Kinds of image are kept apart. A change per "
        "year is the least-squares slope of a subject's daily means over at least {years:g} "
        "years."
    ).format(years=years)


def counts_table(material: Material) -> Table:
    """Count who has repeated images, and what was left out."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        rows.append(head_row(material.cohort_title(cohort)))
        for kind in _kinds(material, cohort):
            numbers = [_count_cell(_find(material, cohort, kind, name)) for name, _label in COUNTS]
            span = value_cell(_find(material, cohort, kind, "median_span_years"), "years")
            rows.append(
                Row(cells=(Cell(text=level_title(kind)), *numbers, Cell(text=span.text)), kind="indent")
            )
    return Table(
        key="repeated-images-counts",
        title=_("Who has repeated images"),
        columns=(
            Column(label=_("Kind of image"), align="left"),
            *(Column(label=_(label)) for _name, label in COUNTS),
            Column(label=_("Median span, years")),
        ),
        rows=tuple(rows),
        caption=_(
            "Subjects, unless said otherwise. Copy: an image whose pixels are those of an earlier "
            "image of the same subject. Followed: images on days far enough apart for a change per "
            "year; with those of one day only and those whose days are too close they make up all "
            "subjects."
        ),
    )


def _count_cell(result: Result | None) -> Cell:
    if result is None:
        return Cell(text=DASH)
    return Cell(text=format_count(result.n), notes=describe_cautions(result))


def error_table(material: Material) -> Table:
    """Show measurement error, what it hides, and the intraclass correlation."""
    rows: list[Row] = []
    statistics: tuple[tuple[str, Quantity], ...] = (
        ("mean_difference", "error"),
        ("within_subject_sd", "error"),
        ("smallest_detectable_change", "error"),
        ("icc", "index"),
    )
    for cohort, kind, predictor in _shown(material, ERROR_PREDICTORS):
        if predictor is None:
            rows.append(_kind_head(material, cohort, kind))
            continue
        found = [_find(material, cohort, kind, name, predictor=predictor) for name, _quantity in statistics]
        n = found[1].n if found[1] else None
        cells = [stacked_cell(r, quantity) for r, (_name, quantity) in zip(found, statistics, strict=True)]
        texts = (Cell(text=_(PREDICTOR_NAMES[predictor])), Cell(text=format_count(n)))
        rows.append(Row(cells=(*texts, *cells), kind="indent"))
    return Table(
        key="measurement-error",
        title=_("Measurement error from images of one kind and one day"),
        columns=(
            Column(label="", align="left"),
            Column(label=_("Subjects")),
            Column(label=_("Second minus first image, years")),
            Column(label=_("Within-subject SD, years")),
            Column(label=_("Smallest detectable change, years")),
            Column(label=_("ICC(1,1)")),
        ),
        rows=tuple(rows),
        caption=_(
            "Estimate with {level} confidence interval below. Smallest detectable change: the "
            "difference between two single images that measurement error alone exceeds in "
            "{conf_level:g}% of subjects. ICC: the share of the variance that lies between "
            "subjects; that of spine age grows with the range of ages."
        ).format(level=material.level_percent, conf_level=100 - 100 * material.study.analysis.conf_level),
    )


def change_table(material: Material) -> Table:
    """Show mean and spread of the changes per year, beside what measurement error alone would give."""
    rows: list[Row] = []
    for cohort, kind, predictor in _shown(material, CHANGE_PREDICTORS):
        if predictor is None:
            rows.append(_kind_head(material, cohort, kind))
            continue
        rows.append(_change_row(material, cohort, kind, predictor))
    return Table(
        key="change-per-year",
        title=_("Change of predicted age difference per year"),
        columns=(
            Column(label="", align="left"),
            Column(label=_("Subjects")),
            Column(label=_("Mean of subjects"), spanner=_("Mean change")),
            Column(label=_("Mixed model"), spanner=_("Mean change")),
            Column(label=_("Seen"), spanner=_("SD of changes")),
            Column(label=_("By error alone"), spanner=_("SD of changes")),
            Column(label=_("Mixed model"), spanner=_("SD of changes")),
            Column(label=_("Median\n(5th to 95th percentile)")),
            Column(label=_("Beyond detectable, %")),
        ),
        rows=tuple(rows),
        caption=_(
            "Years per year, with {level} confidence interval below. Mixed model: weighted by how "
            "well each subject's change is known; its SD is that of true changes. Beyond "
            "detectable: changes larger than the smallest detectable over the subject's own days; "
            "measurement error alone makes {conf_level:g}%. Spine age changes by one year per year "
            "more than raw PAD."
        ).format(level=material.level_percent, conf_level=100 - 100 * material.study.analysis.conf_level),
    )


def _shown(material: Material, predictors: tuple[str, ...]) -> Iterator[tuple[str, str, str | None]]:
    """Yield cohort, kind and each predictor that has rows there, first with None for the head."""
    for cohort in material.cohorts:
        for kind in _kinds(material, cohort):
            found = [p for p in predictors if _find(material, cohort, kind, "icc", predictor=p)]
            if found:
                yield cohort, kind, None
            for predictor in found:
                yield cohort, kind, predictor


def _kind_head(material: Material, cohort: str, kind: str) -> Row:
    return head_row(f"{material.cohort_title(cohort)}: {level_title(kind)}")


def _change_row(material: Material, cohort: str, kind: str, predictor: str) -> Row:
    def find(statistic: str, method: str) -> Result | None:
        return _find(material, cohort, kind, statistic, predictor=predictor, method=method)

    mean, share = find("change_per_year", "mean_of_slopes"), find("share_beyond_sdc", "binomial_exact")
    spread = [
        stacked_cell(find("sd_change_per_year", method), "coefficient")
        for method in ("sd_of_slopes", "measurement_error", "mixed_model")
    ]
    quantiles = [find(name, "type7") for name in ("change_median", "change_p05", "change_p95")]
    cells = (
        Cell(text=_(PREDICTOR_NAMES[predictor])),
        Cell(text=format_count(mean.n if mean else None)),
        stacked_cell(mean, "coefficient"),
        stacked_cell(find("change_per_year", "mixed_model"), "coefficient"),
        *spread,
        _quantile_cell(quantiles),
        stacked_cell(share and as_percent(share), "percent"),
    )
    return Row(cells=cells, kind="indent")


def _quantile_cell(rows: list[Result | None]) -> Cell:
    numbers = [row.value for row in rows if row is not None and row.value is not None]
    if len(numbers) < len(rows):
        return Cell(text=DASH, notes=describe_cautions(rows[0]) if rows[0] else ())
    median, low, high = numbers
    return Cell(text=format_number(median, 2), detail=format_range(low, high, "coefficient"))
