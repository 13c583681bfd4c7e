"""Every shipped parity case, in the order of the document."""

from __future__ import annotations

from spinescore.core.verification.association import association_family
from spinescore.core.verification.case import Case, Family
from spinescore.core.verification.competing_risks import competing_family
from spinescore.core.verification.cox import cox_family
from spinescore.core.verification.curves import curve_family
from spinescore.core.verification.description import description_family
from spinescore.core.verification.discrimination import discrimination_family
from spinescore.core.verification.penalised import firth_family, imputation_family
from spinescore.core.verification.prediction import prediction_family
from spinescore.core.verification.references import References
from spinescore.core.verification.repeated import repeated_family
from spinescore.core.verification.validation import validation_family

FAMILIES = (
    description_family,
    discrimination_family,
    curve_family,
    cox_family,
    association_family,
    competing_family,
    prediction_family,
    validation_family,
    firth_family,
    imputation_family,
    repeated_family,
)


def every_family(references: References) -> tuple[Family, ...]:
    """Return the families of cases."""
    return tuple(make(references) for make in FAMILIES)


def every_case(references: References) -> tuple[Case, ...]:
    """Return the cases of every family."""
    return tuple(case for family in every_family(references) for case in family.cases)
