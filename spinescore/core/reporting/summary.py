"""The first page: what was studied, the answer in a few numbers, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spinescore.core.reporting.document import Block, Callout, KeyFigure, KeyFigures, Paragraph, Section
from spinescore.core.reporting.follow_up_figures import ForestRow, forest_figure
from spinescore.core.reporting.formatting import (
    DASH,
    FLAG_TEXT,
    Quantity,
    describe_cautions,
    events_of,
    format_count,
    format_number,
    format_range,
    format_value,
    state_p,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import (
    CORRECTION_FLAGS,
    CORRECTION_NAMES,
    MAIN_VARIANTS,
    Material,
    describe_fit,
    in_sentence,
    level_title,
)
from spinescore.core.reporting.stored_words import stored_text
from spinescore.domain import Result

PH_ALARM = 0.05
SHOWN_DIGITS = 12
INTENDED_USE = marked(
    "For research on groups of people by epidemiologists and statisticians. Not a medical "
    "device: spine age and PAD are not validated for the diagnosis, prognosis or treatment "
    "of any person, and nothing in this report says they are."
)


def cover_facts(material: Material) -> tuple[tuple[str, str], ...]:
    """Return what the first page names: cohorts, data cut, model, correction."""
    cohorts = "; ".join(_cohort_fact(material, cohort) for cohort in material.cohorts)
    model = material.model
    what, unit = (_("Images"), "") if material.imported is None else (_("Imported ages"), _(" ages"))
    return (
        (_("Cohorts"), cohorts),
        (what, "; ".join(_image_fact(row, unit) for row in material.images) or DASH),
        (
            _("Model"),
            _("{material} (id {model_id})").format(material=model_name(material), model_id=model["model_id"]),
        ),
        (_("Bias correction"), correction_text(material)),
        (
            _("Intended use"),
            _("research on groups of people; not a medical device, not for the care of any person"),
        ),
        (
            _("Report made"),
            f"{material.made_at:%Y-%m-%d %H:%M} UTC, spinescore {material.versions['spinescore']}",
        ),
    )


def model_name(material: Material) -> str:
    """Name the model and its version, or the ages that were imported and from which file."""
    model = material.model
    if material.imported is None:
        return f"{model['name']} {model['version']}"
    digest = str(material.imported["file_sha256"])[:SHOWN_DIGITS]
    return _("ages computed elsewhere, imported as “{name}” from the file of SHA-256 {digest}…").format(
        name=model["name"], digest=digest
    )


def correction_text(material: Material) -> str:
    """Name the corrections in force with their ids and reference sets."""
    if not material.corrections:
        return _("none: PAD is raw")
    parts = [
        _(
            "{correction} on {reference_cohort} ({kind}, n = {n_reference:,}{fit_note}; id {correction_id})"
        ).format(
            correction=_(CORRECTION_NAMES.get(c["method"], c["method"])),
            reference_cohort=c["reference_cohort"],
            kind=in_sentence(level_title(c["kind"])),
            n_reference=c["n_reference"],
            fit_note=_fit_note(c),
            correction_id=c["correction_id"],
        )
        for c in material.corrections
    ]
    return "; ".join(parts)


def _fit_note(correction: Mapping[str, Any]) -> str:
    note = describe_fit(correction)
    return f"; {note}" if note else ""


def summary_section(material: Material) -> Section:
    """Give the answer: key figures with intervals, one figure, warnings in plain sight."""
    answers = [answer for cohort in material.cohorts if (answer := answer_text(material, cohort))]
    blocks: list[Block] = [Paragraph(text=text) for text in answers]
    blocks += [key_figures(material, cohort) for cohort in material.cohorts]
    found = tuple(warnings(material))
    if found:
        blocks.append(Callout(title=_("Before you use these numbers"), items=found))
    figure = summary_forest(material)
    if figure is not None:
        blocks.append(figure)
    return Section(key="summary", title=_("Does spine age add to chronological age?"), blocks=tuple(blocks))


def answer_text(material: Material, cohort: str) -> str:
    """Say the primary hazard ratio of a cohort in a sentence, and whether its interval holds 1."""
    found = primary_result(material, cohort)
    if found is None or found.endpoint is None or found.model is None:
        return ""
    endpoint = in_sentence(material.endpoint_title(found.endpoint))
    kind = _("corrected") if found.predictor == "pad_corrected" else _("raw")
    if found.value is None or found.lower is None or found.upper is None:
        return _("{cohort}: the hazard ratio for {endpoint} could not be estimated ({note}).").format(
            cohort=cohort, endpoint=endpoint, note=stored_text(found.note or "")
        )
    holds = found.lower <= 1 <= found.upper
    return _(
        "{cohort}: one SD of {kind} PAD ({sd}) went with a hazard ratio of {ratio} for {endpoint} "
        "({level} CI {interval}; {p}; {model}: {terms}); {verdict}."
    ).format(
        cohort=cohort,
        kind=kind,
        sd=_years(found.scale),
        ratio=format_value(found.value, "ratio"),
        endpoint=endpoint,
        level=material.level_percent,
        interval=format_range(found.lower, found.upper, "ratio"),
        p=state_p(found.p_value),
        model=found.model,
        terms=", ".join(in_sentence(material.term_title(t)) for t in material.study.models[found.model]),
        verdict=_("the interval includes 1") if holds else _("the interval excludes 1"),
    )


def primary_result(material: Material, cohort: str) -> Result | None:
    """Return the hazard ratio per SD of PAD for the primary endpoint and model in a cohort."""
    if material.primary_endpoint is None or material.primary_model is None:
        return None
    return material.results.find(
        cohort,
        "cox",
        "hr_per_sd",
        endpoint=material.primary_endpoint,
        cause=material.primary_endpoint,
        model=material.primary_model,
        sample="own_n",
        predictor=material.pad(cohort),
    )


def key_figures(material: Material, cohort: str) -> KeyFigures:
    """Return the four numbers of a cohort: hazard ratio, AUC against age, change in C, raw error."""
    results = material.results
    hazard = primary_result(material, cohort)
    figures = []
    if hazard is not None:
        endpoint = in_sentence(material.endpoint_title(hazard.endpoint or ""))
        detail = _("{endpoint}, {model}; SD {scale}; events / n {hazard}").format(
            endpoint=endpoint, model=hazard.model, scale=_years(hazard.scale), hazard=events_of(hazard)
        )
        figures.append(_figure(_("Hazard ratio per SD of PAD"), hazard, "ratio", detail))
    if material.binary:
        keys = {"endpoint": material.binary[0], "predictor": "spine_age_raw", "model": None}
        contrast = results.find(cohort, "auc_difference", "auc_difference", **keys)
        detail = _("raw spine age minus chronological age, {endpoint}").format(
            endpoint=in_sentence(material.endpoint_title(material.binary[0]))
        )
        figures.append(_figure(_("Difference in AUC"), contrast, "difference", detail))
    if hazard is not None:
        keys = {
            "endpoint": hazard.endpoint,
            "model": hazard.model,
            "validation": "apparent",
            "method": "harrell",
        }
        change = results.find(cohort, "concordance_difference", "c_difference", **keys)
        detail = _("PAD added to {model}, {endpoint}; apparent").format(
            model=hazard.model, endpoint=in_sentence(material.endpoint_title(hazard.endpoint or ""))
        )
        figures.append(_figure(_("Change in Harrell's C"), change, "difference", detail))
    error = results.find(cohort, "accuracy", "mae", predictor="spine_age_raw")
    n = format_count(error.n if error else None)
    figures.append(
        _figure(_("Mean absolute error, years"), error, "error", _("raw spine age, n = {n}").format(n=n))
    )
    return KeyFigures(title=material.cohort_title(cohort), figures=tuple(figures))


def _figure(label: str, result: Result | None, quantity: Quantity, detail: str) -> KeyFigure:
    if result is None or result.value is None:
        reason = "; ".join(describe_cautions(result)) if result else _("not computed")
        return KeyFigure(label=label, value=DASH, interval="", detail=f"{reason}; {detail}")
    interval = ""
    if result.lower is not None and result.upper is not None:
        interval = format_range(result.lower, result.upper, quantity)
        level = _("{conf_level:g}% CI").format(conf_level=(result.conf_level or 0.95) * 100)
        interval = f"{level} {interval}"
    return KeyFigure(
        label=label, value=format_value(result.value, quantity), interval=interval, detail=detail
    )


def summary_forest(material: Material) -> Block | None:
    """Draw the hazard ratios of the primary model for every endpoint and cohort."""
    model = material.primary_model
    rows: list[ForestRow] = []
    for endpoint in material.survival:
        rows.append(ForestRow(label=material.endpoint_title(endpoint)))
        for cohort in material.cohorts:
            keys = {"endpoint": endpoint, "cause": endpoint, "model": model, "sample": "own_n"}
            found = material.results.find(cohort, "cox", "hr_per_sd", predictor=material.pad(cohort), **keys)
            if found is not None:
                rows.append(ForestRow(label=cohort, result=found))
    spreads = "; ".join(
        f"{cohort} {_years(found.scale)}"
        for cohort in material.cohorts
        if (found := primary_result(material, cohort)) is not None
    )
    return forest_figure(
        "forest-summary",
        _("Hazard ratio per SD of predicted age difference, {model}").format(model=model),
        _("Bars: {level} CI. SD: {spreads}.{caution}").format(
            level=material.level_percent, spreads=spreads, caution=material.correction_caution
        ),
        _(
            "Forest plot of hazard ratios per standard deviation of predicted age difference by "
            "endpoint and cohort; the numbers are printed beside the marks."
        ),
        rows,
    )


def warnings(material: Material) -> Iterator[str]:
    """Yield what a reader must know before using the numbers."""
    results = list(material.results)
    if material.study.analysis.primary is None:
        yield _(
            "No primary estimate was declared in the study file; the first endpoint and model are "
            "shown instead."
        )
    for flag in CORRECTION_FLAGS:
        cohorts = sorted({r.cohort for r in results if flag in r.flags})
        if cohorts:
            yield f"{', '.join(cohorts)}: {_(FLAG_TEXT[flag])}."
    if not material.corrections:
        yield _(
            "No bias correction is in force: PAD is raw and falls with age, and groups of PAD are "
            "age groups in disguise."
        )
    yield from _extrapolation(material)
    yield from _flagged_models(results, "uncorrected_unadjusted")
    yield from _flagged_models(results, "few_events")
    yield from _hazards_not_proportional(material)
    missing = [r for r in results if r.status != "ok"]
    if missing:
        yield _("{n:,} of {n2:,} numbers could not be estimated; each says why.").format(
            n=len(missing), n2=len(results)
        )


def _extrapolation(material: Material) -> Iterator[str]:
    found = []
    for cohort in material.cohorts:
        outside = material.results.find(cohort, "correction", "n_outside_fitted_ages")
        if outside is not None and outside.value:
            found.append(
                _("{cohort} {value} of {n}").format(
                    cohort=cohort, value=format_count(outside.value), n=format_count(outside.n)
                )
            )
    if found:
        yield _("Subjects outside the ages their bias correction was fitted on: {found}.").format(
            found="; ".join(found)
        )


def _flagged_models(results: Iterable[Result], flag: str) -> Iterator[str]:
    ratios = [
        r
        for r in results
        if r.analysis in {"cox", "logistic"}
        and r.variant in MAIN_VARIANTS
        and r.status == "ok"
        and r.p_value is not None
    ]
    n = sum(flag in r.flags for r in ratios)
    if n:
        yield _("{n:,} of {n2:,} hazard and odds ratios: {caution}; footnotes mark them.").format(
            n=n, n2=len(ratios), caution=_(FLAG_TEXT[flag])
        )


def _hazards_not_proportional(material: Material) -> Iterator[str]:
    for cohort in material.cohorts:
        found = [
            row
            for endpoint in material.survival
            for term in (material.pad(cohort), "global")
            for row in material.results.every(
                cohort,
                "ph_test",
                "chi2",
                endpoint=endpoint,
                model=material.primary_model,
                term=term,
                method="km",
            )
            if row.p_value is not None and row.p_value < PH_ALARM
        ]
        if found:
            whole = _("whole model")
            names = "; ".join(
                f"{in_sentence(material.endpoint_title(row.endpoint or ''))} "
                f"({'PAD' if row.term != 'global' else whole}, {state_p(row.p_value)})"
                for row in found
            )
            yield _("{cohort}: hazards may not be proportional in {model}: {names}.").format(
                cohort=cohort, model=material.primary_model, names=names
            )


def _years(value: float | None) -> str:
    return DASH if value is None else _("{value} years").format(value=format_number(value, 1))


def _cohort_fact(material: Material, cohort: str) -> str:
    found = material.results.find(cohort, "table_one", "n", term="subjects", group="overall")
    return f"{material.cohort_title(cohort)}, n = {format_count(found.value if found else None)}"


def _image_fact(row: object, unit: str) -> str:
    facts = dict(row)  # type: ignore[call-overload]
    kind = level_title(facts["kind"])
    dates = (
        _(", {first_date:%b %Y} to {last_date:%b %Y}").format(
            first_date=facts["first_date"], last_date=facts["last_date"]
        )
        if facts["first_date"]
        else ""
    )
    return _("{kind}: {n_images:,}{unit} of {n_subjects:,} subjects{dates}").format(
        kind=kind, n_images=facts["n_images"], unit=unit, n_subjects=facts["n_subjects"], dates=dates
    )
