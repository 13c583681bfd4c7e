"""The items of STROBE (cohort studies), TRIPOD+AI and STARD 2015, in our words, and what answers them.

``where`` names the report's sections; ``author`` says what they leave to the author. An item without sections
is the author's alone. Sources: von Elm 2007 (STROBE), Collins 2024 (TRIPOD+AI), Bossuyt 2015 (STARD 2015).
"""

from __future__ import annotations

from typing import NamedTuple

from spinescore.core.reporting.language import marked as _

WHO, PATHS, MODELS = (
    ("participants", "methods"),
    ("methods", "provenance"),
    ("hazard-ratios", "discrimination"),
)
PERFORMANCE = ("accuracy", "discrimination", "prediction", "checks")
VARIANTS = ("subgroups", "sensitivity", "multiplicity")


class Item(NamedTuple):
    """One item of a checklist."""

    number: str
    topic: str
    where: tuple[str, ...] = ()
    author: str = ""


STROBE = (
    Item("1a", _("Design named in the title or abstract")),
    Item(
        "1b", _("Balanced abstract"), ("summary",), _("the abstract itself; the first page has its numbers")
    ),
    Item("2", _("Background and rationale")),
    Item(
        "3", _("Objectives and hypotheses"), ("methods",), _("the hypotheses; the primary estimate is named")
    ),
    Item(
        "4", _("Key elements of the design"), ("methods",), _("whether data were collected for this purpose")
    ),
    Item("5", _("Setting, places, dates"), WHO, _("places and recruitment; dates of imaging are given")),
    Item("6a", _("Eligibility, sources, selection, follow-up"), WHO, _("how subjects were recruited")),
    Item("6b", _("Matching criteria"), (), _("if the cohort was matched; spinescore does not match")),
    Item("7", _("Outcomes, exposures, predictors, confounders, modifiers"), ("methods",), _("why these")),
    Item(
        "8",
        _("Sources of data and how things were measured"),
        ("methods", "devices"),
        _("outcomes, covariates"),
    ),
    Item(
        "9", _("Efforts against bias"), ("methods", "devices", "limits"), _("bias of selection and recording")
    ),
    Item("10", _("How the study size came about"), (), _("a report cannot know why so many were studied")),
    Item("11", _("Handling of quantitative variables, groupings"), ("methods", "cutoffs")),
    Item("12a", _("Statistical methods, control of confounding"), ("methods",)),
    Item("12b", _("Subgroups and interactions"), ("methods", "subgroups")),
    Item("12c", _("How missing data were addressed"), ("methods", "sensitivity")),
    Item("12d", _("How loss to follow-up was addressed"), ("methods", "incidence"), _("reasons for loss")),
    Item("12e", _("Sensitivity analyses"), ("sensitivity",)),
    Item("13a", _("Numbers at each stage"), ("participants",)),
    Item("13b", _("Reasons for non-participation at each stage"), ("participants",), _("before imaging")),
    Item("13c", _("Flow diagram"), ("participants",)),
    Item("14a", _("Characteristics of participants"), ("participants",)),
    Item("14b", _("Number with missing data per variable"), ("participants",)),
    Item("14c", _("Follow-up time, average and total"), ("incidence",)),
    Item("15", _("Outcome events or summary over time"), ("incidence",)),
    Item(
        "16a", _("Unadjusted and adjusted estimates with precision"), ("hazard-ratios",), _("why adjusted so")
    ),
    Item("16b", _("Boundaries of categories"), ("hazard-ratios", "incidence", "cutoffs")),
    Item("16c", _("Absolute risk for a meaningful period"), ("incidence", "prediction")),
    Item("17", _("Other analyses"), ("curve", *VARIANTS, "repeated-images")),
    Item("18", _("Key results against the objectives"), ("summary",), _("in words")),
    Item("19", _("Limitations, direction and size of bias"), ("limits",), _("those of this cohort")),
    Item("20", _("Cautious interpretation")),
    Item("21", _("Generalisability"), (), _("results by cohort side by side help")),
    Item("22", _("Funding")),
)

TRIPOD_AI = (
    Item("1", _("Title: model, population, outcome, development or evaluation")),
    Item("2", _("Abstract by TRIPOD+AI for Abstracts"), ("summary",), _("the abstract itself")),
    Item("3a", _("Healthcare context and existing models")),
    Item(
        "3b", _("Target population, purpose and users of the model"), ("limits",), _("the clinical pathway")
    ),
    Item("3c", _("Known health inequalities between groups")),
    Item("4", _("Objectives"), ("methods",), _("the hypotheses")),
    Item("5a", _("Sources of data and their representativeness"), WHO, _("representativeness")),
    Item("5b", _("Dates of collection and follow-up"), ("summary", "participants", "incidence")),
    Item("6a", _("Setting, number and place of centres")),
    Item("6b", _("Eligibility"), WHO),
    Item("6c", _("Treatments received"), (), _("if they matter to the outcome")),
    Item("7", _("Preparation and quality checks of data"), ("methods", "devices", "provenance")),
    Item("8a", _("Outcome, time horizon, assessment"), ("methods",), _("how outcomes were ascertained")),
    Item("8b", _("Who assessed subjective outcomes")),
    Item("8c", _("Blinding of outcome assessment")),
    Item("9a", _("Choice of predictors"), ("methods",), _("why these")),
    Item("9b", _("Definition and measurement of predictors"), ("methods",), _("covariates of the table")),
    Item("9c", _("Who assessed subjective predictors"), (), _("spine age is computed, nobody reads it")),
    Item("10", _("Sample size"), ("participants",), _("why so many")),
    Item("11", _("Missing data"), ("methods", "participants", "sensitivity")),
    Item("12a", _("How data were used, partitioning"), WHO),
    Item("12b", _("Handling of predictors"), ("methods", "curve")),
    Item("12c", _("Type of model, building, internal validation"), ("methods", "prediction")),
    Item("12d", _("Heterogeneity between clusters"), ("methods", "sensitivity"), _("if there are clusters")),
    Item("12e", _("Measures and plots of performance"), ("methods",)),
    Item("12f", _("Model updating, recalibration"), ("methods", "prediction")),
    Item("12g", _("How predictions were calculated for evaluation"), PATHS),
    Item("13", _("Class imbalance"), (), _("no resampling is done by spinescore")),
    Item("14", _("Fairness"), ("accuracy", "devices", "subgroups"), _("groups beyond sex, age and device")),
    Item("15", _("Model output and thresholds"), ("methods", "cutoffs", "prediction")),
    Item("16", _("Differences between development and evaluation"), ("participants",), _("setting, care")),
    Item("17", _("Ethics committee and consent")),
    Item("18a", _("Funding")),
    Item("18b", _("Conflicts of interest")),
    Item("18c", _("Protocol")),
    Item("18d", _("Registration")),
    Item("18e", _("Availability of data")),
    Item("18f", _("Availability of code"), ("provenance",), _("where model and study file can be had")),
    Item("19", _("Involvement of patients and the public")),
    Item("20a", _("Flow of participants, outcomes, follow-up"), ("participants", "incidence")),
    Item("20b", _("Characteristics of participants, missing data"), ("participants",)),
    Item("20c", _("Comparison of cohorts"), ("participants",)),
    Item("21", _("Participants and events in each analysis"), MODELS),
    Item("22", _("Full specification of the model"), ("provenance",), _("weights or access to the model")),
    Item("23a", _("Performance with intervals, subgroups"), (*PERFORMANCE, "subgroups")),
    Item("23b", _("Heterogeneity of performance"), ("accuracy", "devices", "subgroups")),
    Item("24", _("Results of model updating"), ("prediction", "provenance")),
    Item("25", _("Interpretation, fairness included")),
    Item("26", _("Limitations"), ("limits",), _("those of this cohort")),
    Item("27a", _("Poor or missing input"), ("devices", "participants")),
    Item("27b", _("What users must do and know"), ("limits",), _("expertise needed")),
    Item("27c", _("Next steps, applicability")),
)

STARD = (
    Item("1", _("Named a study of diagnostic accuracy in the title")),
    Item("2", _("Structured abstract"), ("summary",), _("the abstract itself")),
    Item("3", _("Background, intended use of the index test"), ("limits",), _("clinical role")),
    Item("4", _("Objectives and hypotheses"), ("methods",), _("the hypotheses")),
    Item("5", _("Prospective or retrospective")),
    Item("6", _("Eligibility"), WHO),
    Item("7", _("On what basis participants were identified")),
    Item("8", _("Where and when"), ("summary", "participants"), _("where")),
    Item("9", _("Consecutive, random or convenience series")),
    Item("10a", _("Index test, to be repeated"), PATHS),
    Item("10b", _("Reference standard, to be repeated"), ("methods",), _("how it was established")),
    Item("11", _("Why this reference standard")),
    Item("12a", _("Cut-offs of the index test"), ("cutoffs",)),
    Item("12b", _("Cut-offs of the reference standard")),
    Item("13a", _("What readers of the index test knew"), (), _("spine age comes from the image alone")),
    Item("13b", _("What assessors of the reference standard knew")),
    Item("14", _("Methods of estimating accuracy"), ("methods",)),
    Item("15", _("Indeterminate results"), ("devices", "participants")),
    Item("16", _("Missing data"), ("methods", "participants")),
    Item("17", _("Analyses of variability"), ("subgroups", "repeated-images", "devices")),
    Item("18", _("Intended sample size"), (), _("why so many")),
    Item("19", _("Flow of participants"), ("participants",)),
    Item("20", _("Baseline characteristics"), ("participants",)),
    Item("21a", _("Severity of disease in those with it")),
    Item("21b", _("Other diagnoses in those without it")),
    Item("22", _("Interval between the tests"), ("participants",), _("dates of the reference standard")),
    Item("23", _("Cross tabulation"), ("cutoffs",)),
    Item("24", _("Accuracy with intervals"), ("discrimination", "cutoffs")),
    Item("25", _("Adverse events")),
    Item("26", _("Limitations"), ("limits",), _("those of this cohort")),
    Item("27", _("Implications for practice")),
    Item("28", _("Registration")),
    Item("29", _("Where the protocol is")),
    Item("30", _("Funding")),
)
