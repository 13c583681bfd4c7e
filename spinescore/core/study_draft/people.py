"""Which columns of a follow-up table hold ids, sex, births and ages: by name, values, and the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from spinescore.core.study_draft.columns import Column
from spinescore.core.study_draft.words import AGE, BIRTH, FEMALE, ID, MALE, OUTCOME, SEX, mentions, tokens
from spinescore.core.table_ids import read_ids

SAMPLED_IDS = 2_000
LONGEST_ID = 12
MOST_SEXES = 3  # with one for unknown
MOSTLY_DISTINCT = 0.9
PLAUSIBLE_AGES = (0.0, 120.0)
SURE_SHARE = 0.9  # of linked subjects whose sex by the images is what a code is taken for
SAME_AGE_YEARS = 1.5
OTHER_AGES = frozenset({"menopause", "menarche", "diagnosis", "onset", "fracture", "fx", "last", "end"})

# ids -> one row per id: known (whether the images have it), sex, age_years; None without a database
Lookup = Callable[[pl.Series], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class IdGuess:
    """The column of ids.

    Parameters
    ----------
    column : Column
        The column.
    width : int, optional
        The length to which ids of digits need leading zeros to match.
    n_tried, n_matched : int
        Of how many different ids how many are subjects of the images; 0 of 0 without a database.
    why : str
        What spoke for it.
    """

    column: Column
    width: int | None = None
    n_tried: int = 0
    n_matched: int = 0
    why: str = ""

    @property
    def repeated(self) -> int:
        """How many rows are not the first of their id."""
        return self.column.n - self.column.n_missing - self.column.n_distinct

    def ids(self) -> pl.Series:
        """Return the ids as they are compared."""
        return read_ids(self.column.text, self.width)


@dataclass(frozen=True, slots=True)
class SexGuess:
    """The column of sex; ``codes`` is empty where F/M are written out, None where they cannot be told."""

    column: Column
    codes: Mapping[str, str] | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class People:
    """Who the rows are."""

    ids: IdGuess
    sex: SexGuess | None = None
    birth: Column | None = None
    age: Column | None = None
    age_is_at_imaging: bool | None = None
    columns: Sequence[str] = field(default=())


def guess_people(columns: Sequence[Column], lookup: Lookup | None, named_id: str | None = None) -> People:
    """Return which columns say who the rows are."""
    ids = _guess_ids(columns, lookup, named_id)
    rest = [column for column in columns if column is not ids.column]
    linked = _linked(ids, lookup)
    sex = _guess_sex(rest, linked)
    birth = next((c for c in rest if c.content == "days" and mentions(c.name, BIRTH)), None)
    age = next((c for c in rest if _is_age(c)), None)
    found = [ids.column, sex.column if sex else None, birth, age]
    at_imaging = _at_imaging(age, linked) if age is not None else None
    return People(ids, sex, birth, age, at_imaging, [column.name for column in found if column is not None])


def _guess_ids(columns: Sequence[Column], lookup: Lookup | None, named_id: str | None) -> IdGuess:
    candidates = [c for c in columns if named_id in (None, c.name) and _may_be_ids(c)]
    if named_id is not None:
        candidates = [c for c in columns if c.name == named_id]
    if lookup is not None:
        tried = [_tried(column, width, lookup) for column in candidates for width in _widths(column)]
        best = max(tried, key=lambda guess: guess.n_matched, default=None)
        if best is not None and best.n_matched:
            return best
    by_name = next((column for column in candidates if mentions(column.name, ID)), None)
    unique = next((column for column in candidates if column.is_unique), None)
    column = by_name or unique or (candidates or list(columns))[0]
    why = "its name" if by_name else "no value occurs twice" if unique else ""
    n_tried = min(column.n_distinct, SAMPLED_IDS) if lookup is not None else 0
    return IdGuess(column, None, n_tried, 0, "said so" if named_id else why)


def _may_be_ids(column: Column) -> bool:
    known = column.n - column.n_missing
    exact = column.content == "text" or column.whole or (column.content == "days" and bool(column.forms))
    return exact and known > 0 and (column.n_distinct >= MOSTLY_DISTINCT * known or mentions(column.name, ID))


def _widths(column: Column) -> list[int | None]:
    """Return the lengths to try: as they are, and longer ones where they are digits."""
    lengths = column.text.drop_nulls().str.len_chars()
    if not column.text.drop_nulls().head(SAMPLED_IDS).str.contains(r"^\d+$").all():
        return [None]
    longest, shortest = int(lengths.max()), int(lengths.min())  # type: ignore[arg-type]
    return [None, *(width for width in range(longest, LONGEST_ID + 1) if width > shortest)]


def _tried(column: Column, width: int | None, lookup: Lookup) -> IdGuess:
    ids = read_ids(column.text.drop_nulls().unique(maintain_order=True).head(SAMPLED_IDS), width)
    return IdGuess(
        column, width, len(ids), int(lookup(ids)["known"].sum()), "its ids are those of the images"
    )


def _linked(ids: IdGuess, lookup: Lookup | None) -> pl.DataFrame | None:
    """Return what the images say of the first rows' subjects, a row each, with the row's number."""
    if lookup is None or not ids.n_matched:
        return None
    rows = ids.ids().head(SAMPLED_IDS)
    return lookup(rows.fill_null("")).with_row_index("row").filter(pl.col("known"))


def _guess_sex(columns: Sequence[Column], linked: pl.DataFrame | None) -> SexGuess | None:
    for column in columns:
        if 0 < len(column.levels) <= MOST_SEXES and mentions(column.name, SEX):
            return _read_sex(column, linked)
    return None


def _read_sex(column: Column, linked: pl.DataFrame | None) -> SexGuess:
    written = {code: _sex_of(code) for code in column.codes}
    if all(written.values()):
        plain = {code.casefold() for code in column.codes} <= {"f", "m", "female", "male"}
        return SexGuess(column, {} if plain else _in_order(written), "the words")
    labelled = {code: _sex_of(column.labels.get(code, "")) for code in column.codes}
    if all(labelled.values()):
        return SexGuess(column, _in_order(labelled), "the file's labels")
    return _sex_by_images(column, linked) or SexGuess(column, None)


def _in_order(sexes: Mapping[str, str | None]) -> dict[str, str]:
    return {code: sex for code, sex in sorted(sexes.items()) if sex}


def _sex_of(text: str) -> str | None:
    words = {text.strip().casefold(), *tokens(text)}
    female, male = bool(words & FEMALE), bool(words & MALE)
    return None if female == male else "F" if female else "M"


def _sex_by_images(column: Column, linked: pl.DataFrame | None) -> SexGuess | None:
    """Return what codes mean by the sex that the images of the same subjects have, if that is clear."""
    if linked is None:
        return None
    codes = column.text[linked["row"]].alias("code")
    pairs = linked.select("sex").with_columns(codes).drop_nulls()
    meant = {}
    for (code,), rows in pairs.group_by("code"):
        shares = rows["sex"].value_counts(normalize=True, sort=True)
        if rows.height >= 5 and shares["proportion"][0] >= SURE_SHARE:
            meant[str(code)] = str(shares["sex"][0])
    if set(meant) != column.codes or len(set(meant.values())) != 2:
        return None
    return SexGuess(column, dict(sorted(meant.items())), f"the images of {pairs.height:,} linked subjects")


def says_sex_or_age(column: Column) -> bool:
    """Tell whether a column holds sex or age, which models take from the images."""
    return _is_age(column) or (0 < len(column.levels) <= MOST_SEXES and mentions(column.name, SEX))


def _is_age(column: Column) -> bool:
    low, high = column.bounds
    words = set(tokens(column.name))
    return (
        column.content == "numbers"
        and mentions(column.name, AGE)
        and PLAUSIBLE_AGES[0] <= low <= high <= PLAUSIBLE_AGES[1]
        and not words & (OTHER_AGES | OUTCOME)
        and len(column.levels) != 2
    )


def _at_imaging(age: Column, linked: pl.DataFrame | None) -> bool | None:
    """Tell whether a column of ages agrees with the ages of the images; None where there are none."""
    if linked is None or age.numbers is None:
        return None
    differences = (age.numbers[linked["row"]] - linked["age_years"]).drop_nulls().abs()
    if differences.is_empty():
        return None
    return float(differences.median()) <= SAME_AGE_YEARS  # type: ignore[arg-type]
