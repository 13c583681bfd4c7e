"""Which columns of a follow-up table may be covariates, and which are of no use as they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from spinescore.core.study_draft.columns import Column
from spinescore.core.study_draft.people import says_sex_or_age
from spinescore.core.study_draft.words import (
    BONE,
    CONFOUNDERS,
    DATE_MARKS,
    FRACTURES,
    PREVALENT,
    PRIVATE,
    mentions,
)
from spinescore.study.rules.names import IMAGE_COLUMNS, MODEL_TERMS

MOST_COVARIATES = 40
MOST_IN_MODEL = 10
FEW_NUMBERS = 6  # whole numbers with no more different values are taken for codes
RARE_ROWS = 5
FILLERS = (9.0, 99.0, 999.0, 9999.0, 88.0, 888.0, 8888.0, 77.0, 777.0, -1.0, -8.0, -9.0, -88.0, -99.0, -999.0)
FAR = 3.0


@dataclass(frozen=True, slots=True)
class CovariateGuess:
    """One covariate, as it may be written.

    Parameters
    ----------
    name : str
        Its name in the study file.
    column : Column
        Its column.
    categorical : bool
        Whether it has levels; the most frequent is the reference then.
    why : str
        What spoke for that.
    suspect : str
        A number that may stand for missing; empty without one.
    """

    name: str
    column: Column
    categorical: bool
    why: str
    suspect: str = ""

    @property
    def reference(self) -> str | None:
        """The level others are compared with."""
        return self.column.levels[0][0] if self.categorical else None


def guess_covariates(
    columns: Sequence[Column], used: Collection[str], names: Collection[str] = ()
) -> tuple[list[CovariateGuess], dict[str, str]]:
    """Return covariates among the columns not used otherwise, and why the others are none.

    Parameters
    ----------
    columns : sequence of Column
        The columns.
    used : collection of str
        Those that are something else.
    names : collection of str
        Names that are taken already.
    """
    guesses: list[CovariateGuess] = []
    left_out: dict[str, str] = {}
    taken = {name.casefold() for name in {*IMAGE_COLUMNS, *MODEL_TERMS, *names}}
    for column in columns:
        if column.name in used:
            continue
        reason = _unusable(column)
        if reason is None and len(guesses) == MOST_COVARIATES:
            reason = f"{MOST_COVARIATES} covariates are drafted already"
        if reason is not None:
            left_out[column.name] = reason
            continue
        guess = _covariate(column, _free_name(column.name, taken))
        taken.add(guess.name.casefold())
        guesses.append(guess)
    return guesses, left_out


def nested_models(covariates: Sequence[CovariateGuess]) -> dict[str, list[str]]:
    """Return covariates, beside age and sex, of Model 2 (confounders) and 3 (with those of bone)."""
    bone = [c.name for c in covariates if mentions(c.name, BONE)][:MOST_IN_MODEL]
    others = [c for c in covariates if c.name not in bone]
    known = [c.name for c in others if _is_confounder(c.name)]
    second = (known or [c.name for c in others])[:MOST_IN_MODEL]
    models = {"Model 1": [], "Model 2": second, "Model 3": [*second, *bone] if bone else []}
    return {model: terms for model, terms in models.items() if terms or model == "Model 1"}


def _is_confounder(name: str) -> bool:
    return mentions(name, CONFOUNDERS) or (mentions(name, PREVALENT) and mentions(name, FRACTURES))


def _unusable(column: Column) -> str | None:
    """Return why a column can be no covariate as it is; None if it can."""
    return next((reason for applies, reason in UNUSABLE if applies(column)), None)


def _is_number_of_row(column: Column) -> bool:
    return column.content == "numbers" and column.whole and column.is_unique and column.n > FEW_NUMBERS


def _has_rare_levels_only(column: Column) -> bool:
    return (
        column.content == "text" and all(n < RARE_ROWS for _, n in column.levels) and column.n > 4 * RARE_ROWS
    )


UNUSABLE: tuple[tuple[Callable[[Column], bool], str], ...] = (
    (lambda c: c.content == "empty", "empty"),
    (lambda c: mentions(c.name, PRIVATE), "says who somebody is, by its name"),
    (says_sex_or_age, "models take sex and age from the images"),
    (lambda c: c.content == "days", "days; no endpoint was found for them"),
    (lambda c: c.n_distinct == 1, "one value only"),
    (lambda c: c.short_years, "days with years of two digits: write years with four"),
    (lambda c: c.serial and mentions(c.name, DATE_MARKS), "may count days: say from when, by `dates`"),
    (lambda c: c.content == "text" and not c.levels, "text with many values"),
    (_is_number_of_row, "all different: an id, or a running number"),
    (_has_rare_levels_only, "text without a frequent value"),
)


def _covariate(column: Column, name: str) -> CovariateGuess:
    if column.content == "text":
        return CovariateGuess(name, column, True, "text")
    if column.labels and column.codes and column.codes <= set(column.labels):
        return CovariateGuess(name, column, True, "its codes have labels")
    if column.whole and 0 < len(column.levels) <= FEW_NUMBERS:
        return CovariateGuess(name, column, True, f"{len(column.levels)} whole numbers")
    return CovariateGuess(name, column, False, "numbers", _filler(column))


def _filler(column: Column) -> str:
    """Return a value such as 999 that lies far from all others: it may stand for missing."""
    assert column.numbers is not None
    low, high = column.bounds
    for filler in FILLERS:
        if filler not in (low, high):
            continue
        others = column.numbers.filter(column.numbers != filler)
        if others.is_empty():
            continue
        spread = max(float(others.max() - others.min()), 1.0)  # type: ignore[operator, arg-type]
        distance = min(abs(filler - float(bound)) for bound in (others.min(), others.max()))  # type: ignore[arg-type]
        if distance > FAR * spread or (filler < 0 <= float(others.min())):  # type: ignore[arg-type]
            return f"{filler:g}"
    return ""


def _free_name(column: str, taken: Collection[str]) -> str:
    reserved = {name.casefold() for name in IMAGE_COLUMNS | MODEL_TERMS}
    name, number = f"{column}_in_table" if column.casefold() in reserved else column, 2
    while name.casefold() in taken:
        name, number = f"{column} ({number})", number + 1
    return name
