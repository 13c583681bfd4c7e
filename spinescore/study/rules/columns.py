"""Columns of the follow-up table: one column cannot be two different things."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spinescore.study.problems import Problem
from spinescore.study.rules.parts import Part, Settings

SUBJECT_KEYS = ("id", "sex", "birth_date", "age")
ENDPOINT_KEYS = ("column", "event", "time", "event_date", "end_date", "entry", "entry_date", "time_origin")


def column_problems(settings: Settings) -> Iterator[Problem]:
    """Yield columns that are named for two things at once."""
    subjects, linkage = settings.part("subjects"), settings.part("linkage")
    yield from _distinct(subjects, SUBJECT_KEYS)
    yield from _distinct(linkage, ("table_id", "image_id", "issuer"))
    ids = subjects.get("id")
    for _, endpoint in settings.parts("endpoints"):
        yield from _distinct(endpoint, ENDPOINT_KEYS)
        for key in ENDPOINT_KEYS:
            if ids is not None and endpoint.get(key) == ids:
                yield endpoint.problem(f"`{ids}` is the column of ids (subjects.id)", key)
    for _, covariate in settings.parts("covariates"):
        if ids is not None and covariate.get("column") == ids:
            yield covariate.problem(f"`{ids}` is the column of ids (subjects.id)", "column")
    yield from _rename(subjects)


def _distinct(part: Part, keys: Sequence[str]) -> Iterator[Problem]:
    first_of: dict[str, str] = {}
    for key in keys:
        column = part.get(key)
        if column is None:
            continue
        if column in first_of:
            yield part.problem(f"`{column}` is `{first_of[column]}` already; name another column", key)
        first_of.setdefault(column, key)


def _rename(subjects: Part) -> Iterator[Problem]:
    first_of: dict[str, str] = {}
    for theirs, ours in subjects.get("rename", {}).items():
        if ours in first_of:
            message = f"`{first_of[ours]}` is renamed to `{ours}` already; give each its own name"
            yield subjects.problem(message, "rename", theirs)
        first_of.setdefault(ours, theirs)
