"""study.toml -> Study: the only reader of study settings."""

from spinescore.study.reading import read_study
from spinescore.study.sections import (
    CovariateSection,
    DateForm,
    EndpointSection,
    LinkageSection,
    SubjectsSection,
    TableLayout,
)
from spinescore.study.whole import Study

__all__ = [
    "CovariateSection",
    "DateForm",
    "EndpointSection",
    "LinkageSection",
    "Study",
    "SubjectsSection",
    "TableLayout",
    "read_study",
]
