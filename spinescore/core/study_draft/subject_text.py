"""[subjects]: the follow-up table, its ids, sex and ages, and how its numbers and days are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from spinescore.core.study_draft.columns import Column
from spinescore.core.study_draft.page import Page
from spinescore.core.study_draft.people import IdGuess, People, SexGuess
from spinescore.core.study_draft.situation import Situation
from spinescore.core.study_draft.spoken import spoken, spoken_levels
from spinescore.core.table_dates import SPOKEN
from spinescore.core.table_values import Findings, decimal_mark
from spinescore.study.toml_text import toml_key, toml_string

LOW_SHARE = 0.5


def write_subjects(page: Page, situation: Situation, people: People, used: Sequence[Column]) -> None:
    """Write [subjects]; ``used`` are the columns read as numbers or days."""
    page.gap()
    page.remark("The follow-up table, one row per subject.")
    page.header("subjects")
    page.pair("file", toml_string(situation.table_name))
    for key, value in situation.layout.items():
        page.pair(key, _value(value))
    _write_ids(page, situation, people.ids)
    if people.sex is not None:
        _write_sex(page, people.sex)
    if people.birth is not None:
        page.guess(
            "birth_date",
            toml_string(people.birth.name),
            "its name; held against the images' ages, not stored",
        )
    if people.age is not None:
        _write_age(page, people)
    _write_decimal(page, situation, used)
    _write_dates(page, used)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return toml_string(value) if isinstance(value, str) else str(value)


def _write_ids(page: Page, situation: Situation, ids: IdGuess) -> None:
    name = toml_string(ids.column.name)
    if ids.n_tried:
        share = f"{ids.n_matched:,} of {ids.n_tried:,} ids tried are subjects of the images"
        why = (
            share
            if ids.n_matched
            else f"{ids.why or 'nothing better was found'}, but no id is that of an image"
        )
    else:
        why = ids.why or "nothing better was found"
    page.guess("id", name, why)
    if ids.width is not None:
        page.guess(
            "id_width", str(ids.width), "so many digits, with leading zeros, have the ids of the images"
        )
    if situation.issuer is not None:
        page.pair("issuer", toml_string(situation.issuer))
    if ids.n_tried and ids.n_matched < LOW_SHARE * ids.n_tried:
        page.decide(
            f"{ids.n_matched:,} of {ids.n_tried:,} ids are those of images. If the images' PatientIDs are "
            "others, name a table that has both under [linkage] (file, table_id, image_id); if they have an "
            "IssuerOfPatientID, add `issuer`.",
            "subjects.id: few or no ids are those of images",
        )
    if ids.repeated > 0:
        page.decide(
            f"{ids.repeated:,} rows repeat an id. One row per subject is needed; mend the table.",
            "subjects.id: ids stand in several rows",
        )
    if ids.column.n_missing:
        page.decide(
            f"{ids.column.n_missing:,} rows have no id; every row needs one.", "subjects.id: empty ids"
        )


def _write_sex(page: Page, sex: SexGuess) -> None:
    name, held = toml_string(sex.column.name), spoken_levels(sex.column)
    if sex.codes is None:
        page.decide(f"which code of `{sex.column.name}` is which sex? {held}.", "subjects.sex_codes")
        page.pair("sex", name, "held against the images' own", commented=True)
        first, *others = sorted(sex.column.codes)
        codes = {first: "M", **dict.fromkeys(others, "F")}
        page.pair("sex_codes", _mapping(codes), commented=True)
        return
    page.guess("sex", name, f"its name; {held}; held against the images' own")
    if sex.codes:
        page.guess("sex_codes", _mapping(dict(sex.codes)), f"by {sex.why}")


def _mapping(codes: dict[str, str]) -> str:
    return f"{{ {', '.join(f'{toml_string(code)} = {toml_string(sex)}' for code, sex in codes.items())} }}"


def _write_age(page: Page, people: People) -> None:
    assert people.age is not None
    name, held = toml_string(people.age.name), spoken(people.age)
    if people.age_is_at_imaging is False:
        page.remark(
            f"`{people.age.name}` ({held}) is not the age at imaging: it differs from the images' own."
        )
        page.pair("age", name, commented=True)
        return
    agrees = (
        "it agrees with the images' ages" if people.age_is_at_imaging else "its name; at imaging, in years"
    )
    page.guess("age", name, f"{agrees}; {held}")


def _write_decimal(page: Page, situation: Situation, used: Sequence[Column]) -> None:
    """Ask for the decimal mark where ``1,234`` may be a thousand and some, or one and some."""
    findings = Findings(pl.Series([], dtype=pl.String))
    texts = [column.text for column in used if column.decimal]
    mark = decimal_mark(texts, None, situation.delimiter, findings)
    if findings.problems:
        page.decide(f"{findings.problems[0][0]}: say which.", "subjects.decimal")
        page.pair("decimal", f'"{"," if mark == "." else mark}"', 'or "."', commented=True)
    elif mark == ",":
        page.guess("decimal", '","', "numbers have a comma")


def _write_dates(page: Page, used: Sequence[Column]) -> None:
    """Declare how days are written, or ask where several readings are possible."""
    days = [column for column in used if column.content == "days" and column.forms]
    doubtful = [column for column in days if column.ambiguous]
    if not doubtful:
        return
    sure = {column.forms[0] for column in days if not column.ambiguous} - {"iso"}
    common = sure.intersection(*(column.forms for column in doubtful))
    form = next(iter(common)) if len(common) == 1 else doubtful[0].forms[-1]
    value = f"{{ {', '.join(f'{toml_key(column.name)} = {json.dumps(form)}' for column in doubtful)} }}"
    if len(common) == 1:
        page.guess("dates", value, f"{SPOKEN[form]}, as in the table's other days")
        return
    names = ", ".join(f"`{column.name}`" for column in doubtful)
    forms = " or ".join(f"{SPOKEN[f]} ({f})" for f in doubtful[0].forms)
    page.decide(f"days in {names} read as {forms}. Which is it?", f"subjects.dates of {names}")
    page.pair("dates", value, commented=True)
