"""The validation document: what was compared with R, how far apart the numbers are, and what that shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spinescore.core.reporting.document import (
    Block,
    Callout,
    Cell,
    Column,
    Definitions,
    Figure,
    KeyFigure,
    KeyFigures,
    Paragraph,
    Report,
    Row,
    Section,
    Table,
    number_report,
)
from spinescore.core.reporting.formatting import DASH, MINUS, format_count
from spinescore.core.reporting.theme import unchecked_charts
from spinescore.core.verification.case import CLOSED_FORM, ITERATED, Comparison, Family, Outcome
from spinescore.core.verification.conventions import DIFFERENCES
from spinescore.core.verification.figure import agreement_figure
from spinescore.core.verification.verification import Verification

TITLE = "Verification of the statistics against R"
SUBTITLE = "Every statistic that R also has: computed on this machine, held against R's number"
DIGITS = 10
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
YES, NO = "yes", "NO"
TOLERANCES = (
    "The tolerance is relative: 10⁻⁹ for closed forms (areas, curves, concordance), 10⁻⁶ for what is found "
    "by iteration."
)
COLUMNS = (
    Column(label="Statistic", align="left", width=33),
    Column(label="spinescore", width=17),
    Column(label="R", width=17),
    Column(label="absolute", spanner="Difference", width=10),
    Column(label="relative", spanner="Difference", width=10),
    Column(label="Tol.", width=6),
    Column(label="Agrees", align="right", width=7),
)


def build_document(verification: Verification) -> Report:
    """Return the document of a verification, numbered."""
    with unchecked_charts():
        figure = agreement_figure(verification.families)
    sections = (
        _result_section(verification, figure),
        *(_family_section(family, outcomes) for family, outcomes in verification.families),
        _convention_section(),
        _making_section(verification),
        _limits_section(),
    )
    differs = not verification.agrees
    report = Report(
        title=TITLE,
        subtitle=SUBTITLE,
        banner="DIFFERENCES FROM R" if differs else "",
        banner_detail=f"{verification.verdict}. Do not publish numbers from this machine." if differs else "",
        running_head="DIFFERENCES FROM R" if differs else "",
        facts=tuple(_facts(verification)),
        sections=sections,
    )
    return number_report(report)


def _facts(verification: Verification) -> list[tuple[str, str]]:
    software = [f"{name} {version}" for name, version in verification.software.items()]
    reference = [f"{name} {version}" for name, version in verification.references.versions().items()]
    return [
        ("Result", f"{verification.verdict}."),
        ("Made", f"{verification.made_at:%Y-%m-%d %H:%M} UTC"),
        ("Software", ", ".join(software)),
        ("Machine", verification.platform),
        ("Reference", ", ".join(reference)),
        ("Data", "Synthetic: made-up subjects and repeated images; no patient's data."),
    ]


def _result_section(verification: Verification, figure: Figure) -> Section:
    widest = {
        tolerance: max(
            (_largest(c) for c in verification.comparisons if c.tolerance == tolerance), default=0.0
        )
        for tolerance in (CLOSED_FORM, ITERATED)
    }
    figures = (
        KeyFigure(
            label="Statistics that agree",
            value=format_count(verification.n_agreeing),
            interval=f"of {len(verification.comparisons):,}",
            detail=f"{verification.n_numbers:,} numbers in {len(verification.outcomes)} calls of R",
        ),
        *(
            KeyFigure(
                label=f"Largest difference, {words}",
                value=format_small(widest[tolerance]),
                interval=f"tolerance {format_tolerance(tolerance)}",
                detail="relative to R's number",
            )
            for tolerance, words in ((CLOSED_FORM, "closed forms"), (ITERATED, "iterated fits"))
        ),
        KeyFigure(
            label="Cases not computed",
            value=format_count(len(verification.failed)),
            interval=f"of {len(verification.outcomes)}",
            detail="each names its error",
        ),
    )
    blocks: list[Block] = [KeyFigures(title="All families", figures=figures)]
    if not verification.agrees:
        blocks.append(Callout(title="What does not agree", items=tuple(_complaints(verification))))
    blocks += [
        Paragraph(
            text=f"{TOLERANCES} Where a row holds several numbers, the one furthest from R's is shown."
        ),
        figure,
        _family_table(verification),
    ]
    return Section(key="summary", title="Result", blocks=tuple(blocks))


def _complaints(verification: Verification) -> list[str]:
    lines = [f"{o.case.title}: not computed ({o.problem})" for o in verification.failed]
    return lines + [
        f"{outcome.case.title}, {c.statistic}: {format_digits(c.ours[c.furthest])} where R has "
        f"{format_digits(c.reference[c.furthest])}"
        for outcome in verification.outcomes
        for c in outcome.comparisons
        if not c.agrees
    ]


def _family_table(verification: Verification) -> Table:
    rows = []
    for family, outcomes in verification.families:
        comparisons = [c for outcome in outcomes for c in outcome.comparisons]
        agreeing = sum(c.agrees for c in comparisons)
        cells = (
            family.title,
            format_count(len(outcomes)),
            format_count(len(comparisons)),
            format_count(sum(len(c.ours) for c in comparisons)),
            format_small(max((_largest(c) for c in comparisons), default=0.0)),
            f"{agreeing:,} of {len(comparisons):,}",
        )
        rows.append(Row(cells=tuple(Cell(text=text) for text in cells)))
    columns = (
        Column(label="Family", align="left"),
        Column(label="Calls of R"),
        Column(label="Statistics"),
        Column(label="Numbers"),
        Column(label="Largest relative\ndifference"),
        Column(label="Agree"),
    )
    return Table(key="families", title="Agreement by family", columns=columns, rows=tuple(rows))


def _family_section(family: Family, outcomes: Sequence[Outcome]) -> Section:
    rows: list[Row] = []
    for outcome in outcomes:
        case = outcome.case
        convention = case.convention[0].upper() + case.convention[1:]
        rows.append(Row(kind="group", cells=(Cell(text=case.title, detail=f"{convention}. R: {case.call}"),)))
        if outcome.problem:
            text = Cell(text="not computed", notes=(outcome.problem,))
            rows.append(Row(cells=(text, *[Cell(text=DASH)] * 5, Cell(text=NO)), kind="indent"))
        rows.extend(_comparison_row(c) for c in outcome.comparisons)
    table = Table(key=family.key, title=f"{family.title} against R", columns=COLUMNS, rows=tuple(rows))
    return Section(key=f"family-{family.key}", title=family.title, blocks=(table,))


def _comparison_row(comparison: Comparison) -> Row:
    at = comparison.furthest
    texts = (
        comparison.statistic,
        format_digits(comparison.ours[at]),
        format_digits(comparison.reference[at]),
        format_small(float(comparison.differences[at])),
        format_small(float(comparison.relative_differences[at])),
        format_tolerance(comparison.tolerance),
        YES if comparison.agrees else NO,
    )
    return Row(cells=tuple(Cell(text=text) for text in texts), kind="indent")


def _convention_section() -> Section:
    text = Paragraph(text="Where R's packages differ from each other, or where we differ from R on purpose:")
    return Section(key="conventions", title="Conventions", blocks=(text, Definitions(items=DIFFERENCES)))


def _making_section(verification: Verification) -> Section:
    references = verification.references
    rows = []
    for name, numbers in references.numbers.items():
        versions = {k: str(v) for k, v in numbers.get("versions", {}).items() if k != "R"}
        packages = ", ".join(f"{package} {version}" for package, version in versions.items())
        script, digest = f"{name}.R", references.hashes[f"{name}.json"]
        rows.append(Row(cells=(Cell(text=script), Cell(text=packages), Cell(text=digest[:16]))))
    columns = (
        Column(label="Script", align="left"),
        Column(label="Packages", align="left"),
        Column(label="SHA-256 of its numbers\n(first 16 digits)"),
    )
    blocks = (
        Paragraph(
            text="R is not needed here. Each file of reference numbers was written in full precision by an R "
            "script that is shipped beside it, from synthetic tables that are shipped too, with convergence "
            "set tight (coxph.control(eps = 1e-12), crr(gtol = 1e-10)). The data are hard on purpose: times "
            "in quarters of a year so that most are tied, late entry, competing events, missing covariates, "
            "tied scores, pairs and singletons among repeats."
        ),
        Paragraph(text=f"R {references.versions()['R']}. To remake a file: Rscript FILE.R."),
        Table(key="scripts", title="Scripts that made the reference", columns=columns, rows=tuple(rows)),
    )
    return Section(key="making", title="How the reference was made", blocks=blocks)


def _limits_section() -> Section:
    items = (
        "This shows that the statistics are computed here as R computes them. It does not show that a study "
        "asks the right question, that its data are right, or that a model's assumptions hold.",
        "Draws cannot agree digit by digit: imputation and bootstrap are compared with R in distribution, "
        "and their intervals with a known truth, by the project's tests and not here.",
        "Deep learning is not verified here: what a network reads from an image is another matter.",
        "spinescore is for research and no medical device.",
    )
    callout = Callout(title="What this document does not show", items=items, severity="note")
    return Section(key="limits", title="Limits", blocks=(callout,))


def _largest(comparison: Comparison) -> float:
    return float(comparison.relative_differences.max())


def format_digits(value: float) -> str:
    """Print a number with ten significant digits (seven beside a power of ten), whole numbers as they are.

    >>> format_digits(0.1234567890123), format_digits(-1234.0), format_digits(float("nan"))
    ('0.1234567890', '−1,234', '–')
    """
    if not np.isfinite(value):
        return DASH if np.isnan(value) else f"{value}"
    if value == round(value) and abs(value) < 1e9:
        return _spell(f"{value:,.0f}")
    text = f"{value:#.{DIGITS}g}"
    return _spell(f"{value:.{DIGITS - 4}e}" if "e" in text else text)


def format_small(value: float) -> str:
    """Print a difference with two significant digits.

    >>> format_small(3.21e-12), format_small(1e-9), format_small(0.0)
    ('3.2×10⁻¹²', '1.0×10⁻⁹', '0')
    """
    if value == 0:
        return "0"
    return _spell(f"{value:.1e}") if np.isfinite(value) else "∞"


def format_tolerance(value: float) -> str:
    """Print a tolerance, a power of ten.

    >>> format_tolerance(1e-9)
    '10⁻⁹'
    """
    return _spell(f"{value:.1e}").removeprefix("1.0×")


def _spell(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.replace("-", MINUS)
    if not exponent:
        return mantissa
    return f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPTS)}"
