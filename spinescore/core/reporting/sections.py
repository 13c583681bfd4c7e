"""The sections of the report in their order, and the report itself."""

from __future__ import annotations

from collections.abc import Callable

from spinescore.core.reporting import check_tables, tables
from spinescore.core.reporting import survival_tables as survival
from spinescore.core.reporting.attrition_flow import attrition_flow
from spinescore.core.reporting.checklist_section import checklist_section
from spinescore.core.reporting.competing_tables import fine_gray_table, restricted_mean_table
from spinescore.core.reporting.curve_section import curve_section
from spinescore.core.reporting.cutoff_section import cutoff_section
from spinescore.core.reporting.device_section import device_section
from spinescore.core.reporting.document import (
    Block,
    Callout,
    Heading,
    Paragraph,
    Report,
    Section,
    number_report,
)
from spinescore.core.reporting.figures import roc_figure, scatter_figure
from spinescore.core.reporting.follow_up_figures import ForestRow, forest_figure, incidence_figure
from spinescore.core.reporting.formatting import RULE
from spinescore.core.reporting.hazards_over_time import hazards_figure
from spinescore.core.reporting.image_cards_section import image_cards_section
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import gettexts, marked
from spinescore.core.reporting.material import Material, in_sentence
from spinescore.core.reporting.methods import limits_section, methods_section
from spinescore.core.reporting.multiplicity_section import multiplicity_section
from spinescore.core.reporting.prediction_section import prediction_section
from spinescore.core.reporting.printable import make_printable
from spinescore.core.reporting.provenance import provenance_section
from spinescore.core.reporting.repeated_section import repeated_section
from spinescore.core.reporting.sensitivity_section import sensitivity_section
from spinescore.core.reporting.subgroup_section import subgroup_section
from spinescore.core.reporting.summary import cover_facts, summary_section
from spinescore.core.reporting.supplement import move_to_supplement
from spinescore.core.reporting.theme import unchecked_charts

SUBTITLE = marked("Spine age from lateral spine images, and what it adds to chronological age")
IMPORTED_SUBTITLE = marked(
    "Spine age, computed elsewhere and imported, and what it adds to chronological age"
)
SYNTHETIC = marked("SYNTHETIC DATA")
DEMONSTRATION = marked("DEMONSTRATION MODEL")
SYNTHETIC_DETAIL = marked(
    "The images, people and outcomes of this report are made up. It says nothing about any patient."
)
DEMONSTRATION_DETAIL = marked("The network was trained on phantoms and is for demonstration and tests alone.")
ACCURACY_WARNING = (
    marked(
        "Judge the model by the raw rows. Bias correction moves every age towards the "
        "subject's chronological age, so corrected ages look accurate whatever the model can "
        "do: in a simulation a useless one (r 0.33, mean absolute error 12.0 years) came out "
        "with r 0.99 and 1.6 years. Corrected rows are here to show what the correction did."
    ),
    marked(
        "A corrected spine age contains chronological age and is no measurement made from the image alone."
    ),
)


def build_report(material: Material) -> Report:
    """Put everything into words, tables and figures, in order, numbered."""
    with unchecked_charts():
        made = [make(material) for make in SECTIONS]
    sections = [section for section in made if section.blocks]
    banner, detail = banner_of(material)
    report = Report(
        title=material.study.study.title,
        subtitle=_(SUBTITLE if material.imported is None else IMPORTED_SUBTITLE),
        banner=banner,
        banner_detail=detail,
        running_head=banner,
        facts=cover_facts(material),
        sections=move_to_supplement([*sections, checklist_section(material, sections)], material),
        paper=material.study.report.paper,
    )
    return number_report(make_printable(report))


def banner_of(material: Material) -> tuple[str, str]:
    """Return what every page must say of made-up data or a demonstration model, short and in full."""
    said = (
        (material.study.study.synthetic, SYNTHETIC, SYNTHETIC_DETAIL),
        (material.demonstration, DEMONSTRATION, DEMONSTRATION_DETAIL),
    )
    words = [(_(short), _(detail)) for holds, short, detail in said if holds]
    return " / ".join(short for short, _detail in words), " ".join(detail for _short, detail in words)


def participants_section(material: Material) -> Section:
    """Say who was analysed, who was not and why, and describe them."""
    counted = (
        _("Files are counted from the folder")
        if material.imported is None
        else _("Rows are counted from the imported table")
    )
    blocks: list[Block] = [
        Paragraph(
            text=_("{counted} to the subject; every one that left did so for a stated reason.").format(
                counted=counted
            )
        ),
        attrition_flow(material),
        *([tables.endpoint_counts_table(material)] if material.study.endpoints else []),
        *(tables.table_one(material, cohort) for cohort in material.cohorts),
    ]
    return Section(key="participants", title=_("Participants"), blocks=tuple(blocks))


def accuracy_section(material: Material) -> Section:
    """Show how well raw ages agree with chronological age, corrected ages beside them."""
    scatter = scatter_figure(material)
    subgroups = tables.accuracy_by_subgroup_table(material)
    blocks: list[Block] = [
        Paragraph(
            text=_("Raw spine ages, as the network reads them from the image, come first.")
            if material.imported is None
            else _("Raw spine ages, as they were imported, come first.")
        ),
        tables.accuracy_table(material),
    ]
    if any(material.pad(cohort) == "pad_corrected" for cohort in material.cohorts):
        blocks.append(
            Callout(title=_("Corrected accuracy is not accuracy"), items=gettexts(ACCURACY_WARNING))
        )
    blocks += [subgroups] if subgroups.rows else []
    coverage = tables.interval_coverage_table(material)
    blocks += [coverage] if coverage.rows else []
    blocks += [scatter] if scatter else []
    return Section(key="accuracy", title=_("Accuracy of spine age"), blocks=tuple(blocks))


def discrimination_section(material: Material) -> Section:
    """Show how well ages tell who has prevalent disease."""
    if not material.binary:
        return Section(key="discrimination", title=_("Discrimination of prevalent disease"), blocks=())
    figures = [figure for e in material.binary if (figure := roc_figure(material, e)) is not None]
    blocks: list[Block] = [tables.auc_table(material), *figures]
    if material.models:
        blocks.append(tables.fitted_auc_table(material))
    return Section(key="discrimination", title=_("Discrimination of prevalent disease"), blocks=tuple(blocks))


def follow_up_section(material: Material) -> Section:
    """Show incidence by PAD group."""
    if not material.survival:
        return Section(key="incidence", title=_("Follow-up and incidence"), blocks=())
    figures = [figure for e in material.survival if (figure := incidence_figure(material, e)) is not None]
    blocks: list[Block] = [survival.follow_up_table(material), *figures, survival.incidence_table(material)]
    means = restricted_mean_table(material)
    blocks += [means] if means else []
    return Section(key="incidence", title=_("Follow-up and incidence"), blocks=tuple(blocks))


def hazard_section(material: Material) -> Section:
    """Show the hazard ratios of PAD in the study's models."""
    endpoint, model = material.primary_endpoint, material.primary_model
    if endpoint is None or model is None:
        return Section(key="hazard-ratios", title=_("Predicted age difference and hazard"), blocks=())
    blocks: list[Block | None] = [
        Paragraph(
            text=_(
                "Hazard ratios are per standard deviation (SD) of predicted age difference (PAD), "
                "spine age minus chronological age. The SD is printed beside them, because a ratio per "
                "SD means nothing without it."
            )
        ),
        survival.hazard_ratio_table(material, "own_n"),
        survival.hazard_ratio_table(material, "common_n"),
        models_forest(material),
        survival.predictor_table(material, endpoint, model),
        survival.category_table(material),
        survival.covariate_table(material, endpoint),
        fine_gray_table(material) or survival.competing_table(material),
    ]
    present = tuple(block for block in blocks if block is not None)
    return Section(key="hazard-ratios", title=_("Predicted age difference and hazard"), blocks=present)


def models_forest(material: Material) -> Block | None:
    """Draw the hazard ratios of every cohort, endpoint and model."""
    rows: list[ForestRow] = []
    for cohort in material.cohorts:
        for endpoint in material.survival:
            rows.append(ForestRow(label=f"{cohort}: {in_sentence(material.endpoint_title(endpoint))}"))
            for model in material.models:
                keys = {"endpoint": endpoint, "cause": endpoint, "model": model, "sample": "own_n"}
                found = material.results.find(
                    cohort, "cox", "hr_per_sd", predictor=material.pad(cohort), **keys
                )
                if found is not None:
                    rows.append(ForestRow(label=model, result=found))
    return forest_figure(
        "forest-models",
        _("Hazard ratio per SD of predicted age difference in every model"),
        _(
            "Squares: estimates; bars: {level} confidence intervals, on a log scale. Each model on "
            "its own complete cases.{caution}"
        ).format(level=material.level_percent, caution=material.correction_caution),
        _(
            "Forest plot of hazard ratios per standard deviation of predicted age difference by "
            "cohort, endpoint and model; the numbers are printed beside the marks."
        ),
        rows,
    )


def checks_section(material: Material) -> Section:
    """Show concordance and the tests of proportional hazards."""
    if not material.survival or not material.models:
        return Section(key="checks", title=_("Concordance and model checks"), blocks=())
    blocks: tuple[Block, ...] = (
        check_tables.concordance_table(material),
        Heading(text=_("Proportional hazards")),
        check_tables.proportional_hazards_table(material),
        *(figure for e in material.survival if (figure := hazards_figure(material, e)) is not None),
        Heading(text=_("How numbers are printed")),
        Paragraph(text=_(RULE)),
    )
    return Section(key="checks", title=_("Concordance and model checks"), blocks=blocks)


SECTIONS: tuple[Callable[[Material], Section], ...] = (
    summary_section,
    participants_section,
    accuracy_section,
    device_section,
    image_cards_section,
    repeated_section,
    discrimination_section,
    follow_up_section,
    hazard_section,
    curve_section,
    subgroup_section,
    checks_section,
    prediction_section,
    cutoff_section,
    sensitivity_section,
    multiplicity_section,
    methods_section,
    limits_section,
    provenance_section,
)
