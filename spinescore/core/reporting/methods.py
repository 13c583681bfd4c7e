"""The methods, written from what was run and ready to paste, and what the numbers are not good for."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.reporting.document import (
    Block,
    Callout,
    Definitions,
    Heading,
    Paragraph,
    References,
    Section,
)
from spinescore.core.reporting.family_methods import family_methods
from spinescore.core.reporting.formatting import format_number
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import gettexts, marked
from spinescore.core.reporting.material import CORRECTION_NAMES, Material, describe_fit, level_title
from spinescore.core.reporting.repeated_section import has_repeats
from spinescore.core.reporting.summary import INTENDED_USE

REFERENCES = (
    "Spine age estimation using deep learning in lateral spine radiographs and DXA VFA to predict incident "
    "fracture and mortality. npj Aging 2025. doi:10.1038/s41514-025-00271-8",
    "Beheshti I, et al. Bias-adjustment in neuroimaging-based brain age frameworks: a robust scheme. "
    "NeuroImage Clin 2019; 24: 102063",
    "de Lange AG, et al. Mind the gap: performance metric evaluation in brain-age prediction. Hum Brain Mapp "
    "2022; 43: 3113-3129",
    "DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver "
    "operating characteristic curves: a nonparametric approach. Biometrics 1988; 44: 837-845",
    "Efron B. The efficiency of Cox's likelihood function for censored data. J Am Stat Assoc 1977; 72: "
    "557-565",
    "Grambsch PM, Therneau TM. Proportional hazards tests and diagnostics based on weighted residuals. "
    "Biometrika 1994; 81: 515-526",
    "Harrell FE, Lee KL, Mark DB. Multivariable prognostic models. Stat Med 1996; 15: 361-387",
    "Aalen OO, Johansen S. An empirical transition matrix for non-homogeneous Markov chains based on "
    "censored observations. Scand J Stat 1978; 5: 141-150",
    "Gray RJ. A class of K-sample tests for comparing the cumulative incidence of a competing risk. Ann Stat "
    "1988; 16: 1141-1154",
    "Demler OV, Pencina MJ, D'Agostino RB. Misuse of DeLong test to compare AUCs for nested models. Stat Med "
    "2012; 31: 2577-2587",
)
REPEATED_REFERENCES = (
    "Bland JM, Altman DG. Measurement error. BMJ 1996; 313: 744",
    "McGraw KO, Wong SP. Forming inferences about some intraclass correlation coefficients. Psychol Methods "
    "1996; 1: 30-46",
    "de Vet HCW, Terwee CB, Knol DL, Bouter LM. When to use agreement versus reliability measures. J Clin "
    "Epidemiol 2006; 59: 1033-1039",
    "Laird NM, Ware JH. Random-effects models for longitudinal data. Biometrics 1982; 38: 963-974",
)
PAD_MEANS = marked(
    "predicted age difference (PAD) is spine age minus chronological age, positive where "
    "the spine looks older than its owner."
)
TIME_UNITS = {"years": marked("years"), "months": marked("months"), "days": marked("days")}
INDEX_TEXTS = {
    "mean": (
        marked("A subject's spine age is the mean over the images of the earliest qualifying day."),
        marked("A subject's spine age is the mean over the ages of the earliest qualifying day."),
    ),
    "first": (
        marked("The first qualifying image of each subject was used."),
        marked("The first qualifying age of each subject was used."),
    ),
    "last": (
        marked("The last qualifying image of each subject was used."),
        marked("The last qualifying age of each subject was used."),
    ),
}
LIMITS = (
    marked(
        "Predicted age difference carries the model's error beside whatever the spine has to "
        "say: its hazard ratio is attenuated against that of the spine's own age."
    ),
    marked(
        "Accuracy against chronological age is not the aim: a model that read chronological "
        "age perfectly would have no PAD at all."
    ),
    marked(
        "Models are compared on the complete cases common to them, or each on its own; "
        "complete cases may differ from everybody."
    ),
    marked(
        "Cause-specific hazard ratios say how the rate of the event depends on PAD while "
        "subjects are event-free; they are not statements about risk. Cumulative incidence is."
    ),
    marked(
        "Many ratios are shown and their p values are not adjusted for that, unless a table "
        "says so; one estimate was declared in advance, and the others are secondary."
    ),
    marked("The associations are observational and say nothing about cause."),
)


def methods_section(material: Material) -> Section:
    """Write the methods from the study file and what was run."""
    blocks: list[Block] = [
        Paragraph(
            text=_(
                "The text below was written from the settings and data of this run, to be pasted and edited."
            )
        ),
        Heading(text=_("Images and spine age") if material.imported is None else _("Spine age")),
        Paragraph(text=_images_text(material) if material.imported is None else _imported_text(material)),
        Paragraph(text=_correction_text(material)),
        Heading(text=_("Cohorts")),
        Definitions(items=tuple(_cohort_definitions(material))),
    ]
    if material.study.endpoints:
        blocks += [Heading(text=_("Endpoints")), Definitions(items=tuple(_endpoint_definitions(material)))]
    if material.models:
        models = [
            (name, ", ".join(material.term_title(t) for t in terms))
            for name, terms in material.study.models.items()
        ]
        blocks += [Heading(text=_("Models")), Definitions(items=tuple(models))]
    references = REFERENCES + (REPEATED_REFERENCES if has_repeats(material) else ())
    families, cited = family_methods(material, len(references) + 1)
    software = ", ".join(f"{name} {version}" for name, version in material.versions.items())
    texts = (*_statistics_texts(material), families, _("Software: {software}.").format(software=software))
    blocks += [Heading(text=_("Statistics")), *(Paragraph(text=text) for text in texts if text)]
    blocks.append(References(items=references + cited))
    return Section(key="methods", title=_("Methods"), blocks=tuple(blocks))


def limits_section(material: Material) -> Section:
    """Say what the numbers are not good for."""
    notes = [*gettexts(LIMITS), *_absent_checks(material)]
    manifest_use = str(material.model.get("manifest", {}).get("intended_use") or "")
    if manifest_use:
        notes.insert(
            0,
            _("The model's own card says of its intended use: {manifest_use}").format(
                manifest_use=manifest_use
            ),
        )
    blocks: tuple[Block, ...] = (
        Callout(title=_("Intended use"), items=(_(INTENDED_USE),)),
        Callout(title=_("Limits"), items=tuple(notes), severity="note"),
    )
    return Section(key="limits", title=_("Intended use and limits"), blocks=blocks)


def _absent_checks(material: Material) -> Iterator[str]:
    """Say which of the usual safeguards were not run."""
    if not any(result.validation == "optimism_corrected" for result in material.results):
        yield _(
            "C and AUC of fitted models that are called apparent were judged on the subjects the "
            "models were fitted to: they were not corrected for optimism."
        )
    if not any(result.validation == "external" for result in material.results):
        yield _("The fitted models were not judged in other people than those they were fitted to.")
    if not any(result.variant == "imputed" for result in material.results):
        yield _("Missing covariates were not imputed in what is shown here.")


def _images_text(material: Material) -> str:
    manifest = material.model.get("manifest", {})
    backbone = str(manifest.get("backbone", _("a convolutional network")))
    classes = (
        _("one class per year of age from {first_age}").format(first_age=manifest["first_age"])
        if manifest.get("first_age")
        else _("age classes")
    )
    trained = manifest.get("training_data")
    data = _(" It was trained on: {trained}.").format(trained=trained) if trained else ""
    return _(
        "Lateral spine images were reduced to 8 bit over their own range, histogram-equalised, "
        "resized with their aspect ratio kept and centred on a canvas as the model's "
        "preprocessing (id {preprocessing_id}) prescribes; radiographs were first cropped to "
        "the central 95% of their area. {name} {version} ({backbone}, {classes}) gave a "
        "distribution over ages, whose mean is the spine age [1].{data} Chronological age is "
        "study date minus birth date in years; {pad} {index}"
    ).format(
        preprocessing_id=material.model["preprocessing_id"],
        name=material.model["name"],
        version=material.model["version"],
        backbone=backbone,
        classes=classes,
        data=data,
        pad=_(PAD_MEANS),
        index=_index_text(material.study.images.index_image, imported=False),
    )


def _imported_text(material: Material) -> str:
    """Say what is known of ages that came in a table, and what is not."""
    assert material.imported is not None
    origin, settings = material.imported, material.imported["settings"]
    age = (
        _("Chronological age is study date minus birth date in years, both of that table; ")
        if "birth_date" in settings
        else _("Chronological age was given in that table; ")
    )
    return _(
        "Spine ages were not computed here: they were computed elsewhere and imported under "
        "the name “{name}” from a table of {rows:,} rows (file of SHA-256 {file_sha256}). How "
        "they were computed, from what, and on whom the model was trained is not known to this "
        "report, and subjects it was trained on could not be kept apart. {age}{pad} "
        "{index}"
    ).format(
        name=material.model["name"],
        rows=origin["rows"],
        file_sha256=origin["file_sha256"],
        age=age,
        pad=_(PAD_MEANS),
        index=_index_text(material.study.images.index_image, imported=True),
    )


def _index_text(rule: str, *, imported: bool) -> str:
    of_images, of_ages = INDEX_TEXTS[rule]
    return _(of_ages if imported else of_images)


def _correction_text(material: Material) -> str:
    if not material.corrections:
        return _("Spine ages were not corrected for age bias: all results are of raw PAD.")
    parts = []
    for c in material.corrections:
        line = ""
        if c["slope"] is not None and c["intercept"] is not None:
            line = _(", slope {slope}, intercept {intercept} years").format(
                slope=format_number(c["slope"], 3), intercept=format_number(c["intercept"], 2)
            )
        note = describe_fit(c)
        parts.append(
            _("{kind}: {n:,} subjects of {cohort}, aged {youngest:.0f} to {oldest:.0f}{line}{note}").format(
                kind=level_title(c["kind"]),
                n=c["n_reference"],
                cohort=c["reference_cohort"],
                youngest=c["age_min"],
                oldest=c["age_max"],
                line=line,
                note=f", {note}" if note else "",
            )
        )
    method = _(CORRECTION_NAMES.get(material.corrections[0]["method"], ""))
    return _(
        "Age bias was corrected by {method}'s method [2], {fitted_on} ({parts}).{outside} Raw "
        "accuracy is reported first, because corrected ages look accurate whatever the model "
        "can do [3]. Groups of PAD are cut on corrected PAD over each whole cohort."
    ).format(
        method=method,
        fitted_on=_fitted_on_text(material),
        parts="; ".join(parts),
        outside=_outside_text(material),
    )


def _fitted_on_text(material: Material) -> str:
    """Say whether the correction is of other people, as the flags of corrected numbers have it."""
    flags = {flag for result in material.results for flag in result.flags}
    once = _("fitted once per kind of image")
    if material.study.correction.file is not None:
        once = _("fitted before this study and read from a file ({file})").format(
            file=material.study.correction.file
        )
    if "same_cohort_correction" in flags:
        return _(
            "{once}, on subjects who are analysed here: in them, corrected PAD averages 0 and is "
            "unrelated to age by construction, so neither is evidence that the correction would "
            "hold in other people"
        ).format(once=once)
    if "cross_fit_correction" in flags:
        return _(
            "{once} and cross-fitted on subjects who are analysed here: each is corrected by a fit "
            "on the other folds, to which subjects were dealt by a seeded hash"
        ).format(once=once)
    return _("{once}, on reference subjects who are not analysed here").format(once=once)


def _outside_text(material: Material) -> str:
    what = {
        "flag": _("were corrected by extrapolation (age-level: by the nearest age), and are counted"),
        "exclude": _("were left out"),
        "refuse": _("would have been refused"),
    }
    return _(" Subjects of ages that it was not fitted on {what}.").format(
        what=what[material.study.correction.outside]
    )


def _cohort_definitions(material: Material) -> Iterator[tuple[str, str]]:
    for cohort in material.cohorts:
        section = material.study.cohorts[cohort]
        yield (
            cohort,
            _("{title}. Condition: {where}").format(title=section.title or cohort, where=section.where),
        )


def _endpoint_definitions(material: Material) -> Iterator[tuple[str, str]]:
    for name, endpoint in material.study.endpoints.items():
        title = material.endpoint_title(name)
        if endpoint.type == "binary":
            yield (
                title,
                _("Prevalent at imaging; column {column} of the follow-up table.").format(
                    column=endpoint.column
                ),
            )
            continue
        source = (
            _("event {event}, time {time} ({unit} since the image)").format(
                event=endpoint.event, time=endpoint.time, unit=_(TIME_UNITS[endpoint.unit])
            )
            if endpoint.time
            else _("event date {event_date}, end of follow-up {end_date}").format(
                event_date=endpoint.event_date, end_date=endpoint.end_date
            )
        )
        rival = (
            _(" {endpoint} competes.").format(endpoint=material.endpoint_title(endpoint.competing))
            if endpoint.competing
            else ""
        )
        left_out = (
            _(" Subjects with {exclude_where} are left out.").format(exclude_where=endpoint.exclude_where)
            if endpoint.exclude_where
            else ""
        )
        day = _(" Events on the day of the image are prevalent and left out.") * (
            endpoint.day_zero == "exclude"
        )
        yield (
            title,
            _("Time to event from the image; {source}.{rival}{day}{left_out}").format(
                source=source, rival=rival, day=day, left_out=left_out
            ),
        )


def _statistics_texts(material: Material) -> Iterator[str]:
    level = material.level_percent
    yield _(
        "Agreement of spine age with chronological age was described by mean absolute error, "
        "root mean squared error, Pearson's r, R² about the line of identity, Lin's "
        "concordance correlation and the least-squares slope, with {level} confidence "
        "intervals. Quantiles are of type 7."
    ).format(level=level)
    if material.binary:
        yield _(
            "Areas under the empirical ROC curve have DeLong intervals; spine age was compared "
            "with chronological age by the paired DeLong test [4]. Logistic models without and "
            "with PAD were compared by likelihood-ratio tests on common complete cases; no DeLong "
            "p is given for nested models [10]."
        )
    if material.survival:
        yield _(
            "Hazard ratios are from Cox models without penalty, with Efron's handling of ties [5]; "
            "they are cause-specific where an event competes. The SD of a ratio per SD is that of "
            "all subjects of the cohort with the predictor known (models on their own complete "
            "cases) or of the common complete cases. Trend over PAD groups: Wald test of the group "
            "number. Proportional hazards: score test of scaled Schoenfeld residuals on the "
            "Kaplan-Meier scale [6]. Harrell's C [7] and its difference have influence-function "
            "intervals; competing events are censored. A model with fewer than 5 events, no more "
            "events than parameters, or separation is not estimated; one with fewer than 10 events "
            "per parameter is flagged."
        )
        yield _(
            "Rates have exact Poisson intervals. Cumulative incidence is by Aalen-Johansen [8] "
            "where an event competes, with Gray's test between groups [9]; survival is by "
            "Kaplan-Meier with log-log intervals and the log-rank test otherwise. Median follow-up "
            "is by reverse Kaplan-Meier."
        )
    if has_repeats(material):
        yield _repeated_text(material)


def _repeated_text(material: Material) -> str:
    n = len(REFERENCES)
    level, years = material.level_percent, material.study.analysis.repeat_min_years
    return _(
        "Measurement error is the pooled within-subject SD of images of one kind and one day, "
        "with its chi-square interval [{n}]; images with the pixels of an earlier one of the "
        "subject were left out. ICC(1,1) is from one-way random-effects analysis of variance "
        "of each subject's first day with repeats [{n2}], with Wald's exact interval for "
        "unequal numbers. The smallest detectable change is the {level} limit of the "
        "difference of two single images [{n3}]. Change per year is the least-squares slope of "
        "daily means in subjects with two days at least {years:g} years apart: the mean of the "
        "subjects' slopes with its t interval, and beside it the mean of a linear mixed model "
        "with random intercepts and slopes, fitted by REML [{n4}]. A subject's change is "
        "beyond detection where it exceeds the limit that measurement error has over the "
        "subject's own days and images."
    ).format(n=n + 1, n2=n + 2, level=level, n3=n + 3, years=years, n4=n + 4)
