"""A follow-up table, and what is known of the images -> the text of a study file, guesses marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from spinescore.core.study_draft.columns import Column, look_at
from spinescore.core.study_draft.covariates import CovariateGuess, guess_covariates, nested_models
from spinescore.core.study_draft.endpoint_text import write_endpoint
from spinescore.core.study_draft.endpoints import EndpointGuess, guess_endpoints, origin_day
from spinescore.core.study_draft.image_text import write_cohorts, write_images
from spinescore.core.study_draft.page import Page
from spinescore.core.study_draft.people import Lookup, People, guess_people
from spinescore.core.study_draft.situation import Situation
from spinescore.core.study_draft.spoken import in_table, plain, spoken
from spinescore.core.study_draft.subject_text import write_subjects
from spinescore.domain import DAYS_PER_YEAR
from spinescore.study.schema import DIRECTIVE
from spinescore.study.toml_text import toml_key, toml_list, toml_string

MOST_LISTED = 200
PER_YEAR = {"years": 1.0, "months": 12.0, "days": DAYS_PER_YEAR}
USUAL_HORIZON_YEARS = 5


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted study file.

    Parameters
    ----------
    text : str
        The file, TOML.
    guesses : sequence of (int, str)
        Line and key of what was guessed.
    decisions : sequence of (int, str)
        Line and subject of what only the user can say.
    """

    text: str
    guesses: Sequence[tuple[int, str]]
    decisions: Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was made of a table's columns."""

    columns: Sequence[Column]
    people: People
    endpoints: Sequence[EndpointGuess]
    covariates: Sequence[CovariateGuess]
    left_out: Mapping[str, str]
    origin: Column | None = None
    roles: Mapping[str, str] = field(default_factory=dict)


def draft_study(
    table: pl.DataFrame,
    situation: Situation,
    *,
    labels: Mapping[str, Mapping[str, str]],
    lookup: Lookup | None = None,
    id_column: str | None = None,
) -> Draft:
    """Return a study file for a follow-up table.

    Parameters
    ----------
    table : polars.DataFrame
        The table, one row per subject.
    situation : Situation
        Files, how the table is laid out, and what the database holds.
    labels : mapping
        Per column what its codes are called in the file.
    lookup : callable, optional
        Ids to what the images have of these subjects; None without a database.
    id_column : str, optional
        The column of ids, where it was named.
    """
    found = _find(table, labels, lookup, id_column)
    page = Page()
    write_images(page, situation, _title(found.endpoints))
    write_cohorts(page, situation)
    write_subjects(page, situation, found.people, _used(found))
    _write_endpoints(page, found)
    _write_covariates(page, found.covariates)
    _write_models(page, found.covariates)
    _write_analysis(page, situation, found)
    head = _head(situation, found, page)
    shift = len(head)
    return Draft(
        "\n".join([*head, *page.lines, ""]),
        [(line + shift, about) for line, about in page.guesses],
        [(line + shift, about) for line, about in page.decisions],
    )


def _find(
    table: pl.DataFrame,
    labels: Mapping[str, Mapping[str, str]],
    lookup: Lookup | None,
    id_column: str | None,
) -> Findings:
    columns = [look_at(table[name], labels.get(name)) for name in table.columns]
    people = guess_people(columns, lookup, id_column)
    rest = [column for column in columns if column.name not in people.columns]
    endpoints = guess_endpoints(rest)
    roles = _roles(people, endpoints)
    origin = origin_day([column for column in rest if column.name not in roles])
    if origin is not None and any("time" in endpoint.columns for endpoint in endpoints):
        roles[origin.name] = "time_origin"
    else:
        origin = None
    outcomes = {name for name in roles if name not in _also_covariates(endpoints)}
    binary = [endpoint.name for endpoint in endpoints if endpoint.type == "binary"]
    covariates, left_out = guess_covariates(rest, outcomes, binary)
    for covariate in covariates:
        also = f", {roles[covariate.column.name]}" if covariate.column.name in roles else ""
        roles[covariate.column.name] = f"covariates.{toml_key(covariate.name)}{also}"
    return Findings(columns, people, endpoints, covariates, left_out, origin, roles)


def _roles(people: People, endpoints: Sequence[EndpointGuess]) -> dict[str, str]:
    roles = {people.ids.column.name: "subjects.id"}
    for key, column in (
        ("sex", people.sex.column if people.sex else None),
        ("birth_date", people.birth),
        ("age", people.age),
    ):
        if column is not None:
            roles[column.name] = f"subjects.{key}"
    for endpoint in endpoints:
        for key, column in endpoint.columns.items():
            roles.setdefault(column.name, f"endpoints.{toml_key(endpoint.name)}.{key}")
        for column in endpoint.echoes:
            roles.setdefault(column.name, f"not needed: endpoints.{toml_key(endpoint.name)} has its day")
    return roles


def _also_covariates(endpoints: Sequence[EndpointGuess]) -> set[str]:
    """Return the columns of what is known at baseline: it may be adjusted for as well."""
    return {endpoint.columns["column"].name for endpoint in endpoints if endpoint.at_baseline}


def _used(found: Findings) -> list[Column]:
    """Return the columns that the study reads as numbers or days."""
    used = [c.column for c in found.covariates if not c.categorical]
    used += [column for endpoint in found.endpoints for column in endpoint.columns.values()]
    used += [column for column in (found.people.birth, found.people.age, found.origin) if column is not None]
    return list({column.name: column for column in used}.values())


def _title(endpoints: Sequence[EndpointGuess]) -> str:
    names = [endpoint.name for endpoint in endpoints if endpoint.type == "survival" and endpoint.usable]
    return f"Spine age and {', '.join(names[:3])}" if names else "Spine age"


def _write_endpoints(page: Page, found: Findings) -> None:
    page.gap()
    page.remark("Endpoints: what happens to the subjects (survival), or is known of them once (binary).")
    for endpoint in found.endpoints:
        write_endpoint(page, endpoint, found.endpoints, found.origin)
    if not any(endpoint.usable for endpoint in found.endpoints):
        page.gap()
        page.decide("no endpoint was found for sure. An endpoint looks like one of these:", "endpoints")
        page.lines += EXAMPLES.splitlines()


EXAMPLES = """# [endpoints.fracture]
# type = "survival"
# event = "COLUMN"               # 0/1, whether it happened; or codes = { "2" = 1, "1" = 0 }
# time = "COLUMN"                # until then, or until the end of follow-up
# unit = "years"                 # or months, days
# time_origin = "image"          # or the column of the days durations count from
#
# [endpoints.death]
# type = "survival"
# event_date = "COLUMN"          # day of the event, empty where there was none
# end_date = "COLUMN"            # last day known"""


def _write_covariates(page: Page, covariates: Sequence[CovariateGuess]) -> None:
    page.gap()
    page.remark("Covariates: what the models below may adjust for. Age and sex are those of the images.")
    for covariate in covariates:
        page.gap()
        page.header(f"covariates.{toml_key(covariate.name)}")
        page.pair("column", toml_string(covariate.column.name), spoken(covariate.column))
        if not covariate.categorical:
            page.pair("type", '"continuous"')
        else:
            page.guess("type", '"categorical"', covariate.why)
            page.guess("reference", toml_string(covariate.reference or ""), "the most frequent level")
        if covariate.suspect:
            page.decide(
                f"is {covariate.suspect} in `{covariate.column.name}` a code for missing? It is read as a "
                "number: empty these cells in the table.",
                f"covariates.{toml_key(covariate.name)}: is {covariate.suspect} missing?",
            )


def _write_models(page: Page, covariates: Sequence[CovariateGuess]) -> None:
    page.gap()
    page.remark("Models, in the order of the report: each is a list of covariates by name.")
    page.header("models")
    models = nested_models(covariates)
    for model, terms in models.items():
        value = toml_list(["age", "sex", *terms])
        if terms:
            page.guess(toml_key(model), value, "by what columns are called")
        else:
            page.pair(toml_key(model), value)
    if len(models) == 1:
        page.pair('"Model 2"', '["age", "sex", "COVARIATE"]', commented=True)


def _write_analysis(page: Page, situation: Situation, found: Findings) -> None:
    page.gap()
    page.header("analysis")
    primary = next((e.name for e in found.endpoints if e.type == "survival" and e.usable), None)
    if primary is not None:
        page.remark("The one estimate declared beforehand; uncomment and choose before you look at results:")
        cohort = toml_string(situation.evaluated[0])
        value = f'{{ cohort = {cohort}, endpoint = {toml_string(primary)}, model = "Model 1" }}'
        page.pair("primary", value, commented=True)
    years, why = _horizon(found.endpoints)
    page.guess("horizons_years", f"[{years}]", why)
    page.pair("pad_groups", '"tertiles"', '"quartiles", or cuts in years of the age gap such as [-5, 5]')
    page.pair("bootstraps", "200", "to judge models by; takes minutes; 0: none")


def _horizon(endpoints: Sequence[EndpointGuess]) -> tuple[int, str]:
    """Return when survival is read off, years: five, or less where follow-up is shorter."""
    longest = [
        endpoint.columns["time"].bounds[1] / PER_YEAR[endpoint.unit]
        for endpoint in endpoints
        if endpoint.usable and "time" in endpoint.columns
    ]
    if not longest:
        return USUAL_HORIZON_YEARS, "usual; it has to lie within follow-up"
    return max(1, min(USUAL_HORIZON_YEARS, int(max(longest)))), f"follow-up is up to {max(longest):.1f} years"


def _head(situation: Situation, found: Findings, page: Page) -> list[str]:
    """Return the first lines: where the draft is from, what is to be decided, and what columns there are."""
    top = Page()
    n, width = len(found.columns[0].text), len(found.columns)
    described = "; ".join(
        [
            f"{n:,} rows, {width:,} columns",
            *(v if k == "format" else f"{k}: {v}" for k, v in situation.detected.items()),
        ]
    )
    images = f" and {situation.database_name}" if situation.facts is not None else ""
    top.lines.append(DIRECTIVE)
    top.remark(f"Study file of spinescore, drafted from {situation.table_name} ({described}){images}.")
    top.remark("GUESS marks what was guessed, and why: check it, then take the mark away.")
    if page.decisions:
        top.remark("DECIDE marks what only you can say; what stands commented out is not part of the study:")
    listing = _listing(found)
    shift = len(top.lines) + len(page.decisions) + 2 + len(listing)
    numbered = [(f"line {line + shift}", plain(about)) for line, about in page.decisions]
    top.lines += [f"#   {line}" for line in in_table(numbered)]
    top.remark("Check it with `spinescore study check`; docs/study-file.md explains every key.")
    top.lines += [*listing, ""]
    return top.lines


def _listing(found: Findings) -> list[str]:
    """Return a line for each column: what it holds, and what was made of it."""
    rows = []
    for column in found.columns[:MOST_LISTED]:
        role = found.roles.get(column.name) or f"not used: {found.left_out.get(column.name, 'nothing fits')}"
        secret = column is found.people.ids.column
        rows.append((plain(column.name), spoken(column, secret=secret), plain(role)))
    more = len(found.columns) - MOST_LISTED
    lines = [f"#   {line}" for line in in_table(rows)]
    return ["#", "# Columns looked at:", *lines, *([f"#   and {more:,} more columns"] if more > 0 else [])]
