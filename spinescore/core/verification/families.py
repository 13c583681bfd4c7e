"""Every shipped parity case, in the order of the document."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from spinescore.core.verification.association import association_cases
from spinescore.core.verification.case import Case, Family
from spinescore.core.verification.competing_risks import competing_cases
from spinescore.core.verification.cox import cox_cases
from spinescore.core.verification.curves import curve_cases
from spinescore.core.verification.description import description_cases
from spinescore.core.verification.discrimination import discrimination_cases
from spinescore.core.verification.penalised import firth_cases, imputation_cases
from spinescore.core.verification.prediction import prediction_cases
from spinescore.core.verification.references import References
from spinescore.core.verification.repeated import repeated_cases
from spinescore.core.verification.validation import validation_cases

FAMILIES: tuple[tuple[str, str, Callable[[References], Iterator[Case]]], ...] = (
    ("description", "Accuracy, description and logistic models", description_cases),
    ("discrimination", "Discrimination", discrimination_cases),
    ("curves", "Survival curves and rates", curve_cases),
    ("cox", "Cox models", cox_cases),
    ("association", "Association, as a study's rows", association_cases),
    ("competing-risks", "Competing risks", competing_cases),
    ("prediction", "Prediction", prediction_cases),
    ("validation", "Validation and classification", validation_cases),
    ("few-events", "Few events", firth_cases),
    ("missing-data", "Missing data", imputation_cases),
    ("repeated-images", "Repeated images", repeated_cases),
)


def every_family(references: References) -> tuple[Family, ...]:
    """Return the families of cases."""
    return tuple(Family(key, title, tuple(make(references))) for key, title, make in FAMILIES)


def every_case(references: References) -> tuple[Case, ...]:
    """Return the cases of every family."""
    return tuple(case for family in every_family(references) for case in family.cases)
