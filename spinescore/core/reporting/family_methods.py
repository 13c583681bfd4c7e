"""Sentences of the methods on families of results beyond the main ones, each with what it rests on."""

from __future__ import annotations

from typing import NamedTuple

from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked, ngettext
from spinescore.core.reporting.material import Material
from spinescore.domain import Result

HORIZONS = (
    "Blanche P, Dartigues JF, Jacqmin-Gadda H. Estimating and comparing time-dependent areas under receiver "
    "operating characteristic curves for censored event times with competing risks. Stat Med 2013; 32: "
    "5381-5397"
)


class Family(NamedTuple):
    """What one family of results says of itself: where its rows are, its sentence, what it cites.

    ``mark`` is a key and its value that the rows have besides the analysis; an empty analysis is any.
    """

    analysis: str
    mark: tuple[str, str] | None
    sentence: str
    references: tuple[str, ...]


FAMILIES = (
    Family(
        "device_shift",
        None,
        marked(
            "Shifts between devices are coefficients of a linear model of raw PAD on age (restricted cubic "
            "spline, 4 knots), sex and device, by kind of image, with heteroscedasticity-consistent (HC3) "
            "errors {0}."
        ),
        (
            "MacKinnon JG, White H. Some heteroskedasticity-consistent covariance matrix estimators with "
            "improved finite sample properties. J Econom 1985; 29: 305-325",
        ),
    ),
    Family(
        "incidence",
        ("statistic", "standardised_rate_per_1000_py"),
        marked(
            "Rates were standardised directly for age band and sex to the person-years of all "
            "groups together, with gamma intervals {0}."
        ),
        (
            "Fay MP, Feuer EJ. Confidence intervals for directly standardized rates: a method based on the "
            "gamma distribution. Stat Med 1997; 16: 791-801",
        ),
    ),
    Family(
        "restricted_mean",
        None,
        marked(
            "Restricted mean time without the event, or lost to it where events compete {0}, is "
            "the area under or over the curve until the longest horizon."
        ),
        (
            "Andersen PK. Decomposition of number of life years lost according to causes of death. Stat Med "
            "2013; 32: 5278-5285",
        ),
    ),
    Family(
        "fine_gray",
        None,
        marked("Subdistribution hazard ratios are from Fine and Gray's model with sandwich errors {0}."),
        (
            "Fine JP, Gray RJ. A proportional hazards model for the subdistribution of a competing risk. J "
            "Am Stat Assoc 1999; 94: 496-509",
        ),
    ),
    Family(
        "spline",
        None,
        marked(
            "PAD also entered as a restricted cubic spline with {knots} knots at Harrell's "
            "quantiles, tested against a straight line by likelihood ratio {0}."
        ),
        ("Harrell FE. Regression modeling strategies. 2nd ed. Springer 2015",),
    ),
    Family(
        "subgroup",
        None,
        marked(
            "In subgroups the model was fitted within each level; slopes of PAD by level were held "
            "against one slope by a likelihood-ratio test of interaction {0}."
        ),
        (
            "Wang R, Lagakos SW, Ware JH, Hunter DJ, Drazen JM. Statistics in medicine: reporting of "
            "subgroup analyses in clinical trials. N Engl J Med 2007; 357: 2189-2194",
        ),
    ),
    Family(
        "concordance",
        ("method", "uno"),
        marked("Uno's C weighs events by the inverse probability of being uncensored {0}."),
        (
            "Uno H, Cai T, Pencina MJ, D'Agostino RB, Wei LJ. On the C-statistics for evaluating overall "
            "adequacy of risk prediction procedures with censored survival data. Stat Med 2011; 30: "
            "1105-1117",
        ),
    ),
    Family(
        "time_dependent_auc",
        None,
        marked(
            "Areas under time-dependent ROC curves are weighted by the inverse probability of "
            "being uncensored; controls include subjects with a competing event {0}."
        ),
        (HORIZONS,),
    ),
    Family(
        "brier",
        None,
        marked(
            "Predicted risks, of cause-specific Cox models where events compete, were judged by "
            "the Brier score {0} and the index of prediction accuracy {1}."
        ),
        (
            "Gerds TA, Schumacher M. Consistent estimation of the expected Brier score in general survival "
            "models with right-censored event times. Biom J 2006; 48: 1029-1040",
            "Kattan MW, Gerds TA. The index of prediction accuracy: an intuitive measure useful for "
            "evaluating risk prediction models. Diagn Progn Res 2018; 2: 7",
        ),
    ),
    Family(
        "calibration",
        None,
        marked(
            "Calibration was described by the ratio of observed to predicted risk, calibration in "
            "the large, slope, and the distance of a spline of observed on predicted risk from the "
            "diagonal {0}."
        ),
        (
            "Austin PC, Harrell FE, van Klaveren D. Graphical calibration curves and the integrated "
            "calibration index (ICI) for survival models. Stat Med 2020; 39: 2714-2742",
        ),
    ),
    Family(
        "decision_curve",
        None,
        marked("Net benefit of acting on predicted risk was computed over a range of thresholds {0}."),
        (
            "Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction "
            "models. Med Decis Making 2006; 26: 565-574",
        ),
    ),
    Family(
        "brier",
        ("validation", "optimism_corrected"),
        marked(
            "Optimism was estimated from {bootstraps} bootstrap samples, to each of which the "
            "models were fitted anew [7]; intervals are the apparent ones, shifted {0}."
        ),
        (
            "Noma H, Shinozaki T, Iba K, Teramukai S, Furukawa TA. Confidence intervals of prediction "
            "accuracy measures for multivariable prediction models based on the bootstrap-based optimism "
            "correction methods. Stat Med 2021; 40: 5691-5701",
        ),
    ),
    Family(
        "brier",
        ("validation", "external"),
        marked(
            "External validation applied the models of one cohort, coefficients and baseline "
            "hazards unchanged, to the others {0}."
        ),
        (
            "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for reporting "
            "clinical prediction models that use regression or machine learning methods. BMJ 2024; 385: "
            "e078378",
        ),
    ),
    Family(
        "reclassification",
        None,
        marked(
            "The integrated discrimination improvement and the continuous net reclassification "
            "improvement are secondary and without p {0}."
        ),
        (
            "Kerr KF, Wang Z, Janes H, McClelland RL, Psaty BM, Pepe MS. Net reclassification indices for "
            "evaluating risk prediction instruments: a critical review. Epidemiology 2014; 25: 114-121",
        ),
    ),
    Family(
        "cutoff",
        None,
        marked(
            "Sensitivity, specificity and predictive values at cut-offs have Wilson's intervals "
            "{0}, or at horizons are weighted as the areas are {1}."
        ),
        (
            "Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat "
            "Assoc 1927; 22: 209-212",
            HORIZONS,
        ),
    ),
    Family(
        "cox",
        ("variant", "robust"),
        marked("Robust errors are of Lin and Wei's sandwich variance {0}."),
        (
            "Lin DY, Wei LJ. The robust inference for the Cox proportional hazards model. J Am Stat Assoc "
            "1989; 84: 1074-1078",
        ),
    ),
    Family(
        "cox",
        ("variant", "age_scale"),
        marked("In a sensitivity analysis time was age, with entry at the age at imaging {0}."),
        (
            "Korn EL, Graubard BI, Midthune D. Time-to-event analysis of longitudinal follow-up of a "
            "survey: choice of the time-scale. Am J Epidemiol 1997; 145: 72-80",
        ),
    ),
    Family(
        "cox",
        ("variant", "landmark"),
        marked("Landmark analyses restart follow-up {landmarks} after the image {0}."),
        (
            "Anderson JR, Cain KC, Gelber RD. Analysis of survival by tumor response. J Clin Oncol 1983; 1: "
            "710-719",
        ),
    ),
    Family(
        "",
        ("variant", "firth"),
        marked(
            "Where events were few, Firth's penalised likelihood with profile-likelihood intervals "
            "stands beside the main estimate {0}."
        ),
        (
            "Heinze G, Schemper M. A solution to the problem of monotone likelihood in Cox regression. "
            "Biometrics 2001; 57: 114-119",
        ),
    ),
    Family(
        "",
        ("variant", "imputed"),
        marked(
            "Missing covariates were imputed {imputations} times by chained equations with the "
            "outcome among the predictors {0} and estimates pooled by Rubin's rules."
        ),
        (
            "White IR, Royston P, Wood AM. Multiple imputation using chained equations: issues and guidance "
            "for practice. Stat Med 2011; 30: 377-399",
        ),
    ),
    Family(
        "multiplicity",
        None,
        marked(
            "p values of declared families were adjusted by Holm's {0} and Benjamini and "
            "Hochberg's {1} procedures."
        ),
        (
            "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979; 6: 65-70",
            "Benjamini Y, Hochberg Y. Controlling the false discovery rate: a practical and powerful "
            "approach to multiple testing. J R Stat Soc B 1995; 57: 289-300",
        ),
    ),
)


def family_methods(material: Material, first: int) -> tuple[str, tuple[str, ...]]:
    """Say how the families that were run were computed, and what the sentences cite.

    Parameters
    ----------
    material : Material
        The report's.
    first : int
        The number of the first reference.

    Returns
    -------
    tuple of str and tuple of str
        One paragraph, a sentence for each family with rows, empty without any; and its references.
    """
    numbers: dict[str, int] = {}
    sentences = []
    for family in FAMILIES:
        if any(_belongs(result, family) for result in material.results):
            cited = [f"[{numbers.setdefault(text, first + len(numbers))}]" for text in family.references]
            sentences.append(_(family.sentence).format(*cited, **_settings(material)))
    return " ".join(sentences), tuple(numbers)


def _belongs(result: Result, family: Family) -> bool:
    if family.analysis not in {"", result.analysis}:
        return False
    return family.mark is None or getattr(result, family.mark[0]) == family.mark[1]


def _settings(material: Material) -> dict[str, str]:
    analysis = material.study.analysis
    years = [f"{year:g}" for year in analysis.landmark_years]
    return {
        "knots": f"{analysis.knots}",
        "bootstraps": f"{analysis.bootstraps:,}",
        "imputations": f"{analysis.imputations:,}",
        "landmarks": ngettext("{years} year", "{years} years", 1 if years == ["1"] else 2).format(
            years=", ".join(years)
        ),
    }
