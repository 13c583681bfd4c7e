"""Endpoints: which keys go together, and which cannot be meant beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.study.problems import Problem, one_of
from spinescore.study.rules.parts import Part, Settings

SURVIVAL_KEYS = (
    "event",
    "time",
    "unit",
    "event_date",
    "end_date",
    "entry",
    "entry_date",
    "competing",
    "day_zero",
    "admin_censor_date",
    "before_image",
    "strata",
    "cluster",
    "time_origin",
)
FORMS = (("event", "time"), ("event", "end_date"), ("event_date", "end_date"))
# Keys that say the same thing in two ways, and what to do about it.
EITHER_OR = (
    ("time", "end_date", "follow-up ends either after a duration or on a day; keep one of them"),
    ("time", "event_date", "the event is either after a duration or on a day; keep one of them"),
    (
        "event",
        "event_date",
        "whether it happened is said twice; without `event`, a day in `event_date` means that it did",
    ),
    ("entry", "entry_date", "keep one of them"),
)


def endpoint_problems(settings: Settings) -> Iterator[Problem]:
    """Yield endpoints without the columns they need, and keys that do not go together."""
    for _, endpoint in settings.parts("endpoints"):
        if endpoint.get("type") == "binary":
            yield from _binary(endpoint)
        else:
            yield from _contradictions(endpoint)
        if endpoint.get("type") == "survival":
            yield from _survival(endpoint)
        yield from _codes(endpoint)


def _binary(endpoint: Part) -> Iterator[Problem]:
    if not endpoint.has("column"):
        yield endpoint.problem('a binary endpoint needs `column = "..."`, its column of 0/1')
    for key in SURVIVAL_KEYS:
        if endpoint.has(key):
            yield endpoint.problem("is of survival endpoints; this one is binary and has `column`", key)


def _survival(endpoint: Part) -> Iterator[Problem]:
    if endpoint.has("column"):
        yield endpoint.problem("is of binary endpoints; this one is survival and has `event`", "column")
    if not any(endpoint.has(*form) for form in FORMS):
        forms = one_of([f"`{first}` and `{second}`" for first, second in FORMS])
        yield endpoint.problem(f"a survival endpoint needs {forms}")
    if endpoint.has("time") and not endpoint.has("time_origin"):
        yield endpoint.problem(
            'durations need `time_origin`: "image" if they count from the day of the image, '
            "else the column of the days they count from",
            "time",
        )
    if endpoint.has("time_origin") and not endpoint.has("time"):
        yield endpoint.problem("says what durations count from, but there are none (`time`)", "time_origin")
    if endpoint.has("unit") and not (endpoint.has("time") or endpoint.has("entry")):
        yield endpoint.problem("is that of durations, but there are none (`time`, `entry`)", "unit")


def _contradictions(endpoint: Part) -> Iterator[Problem]:
    for first, second, advice in EITHER_OR:
        if endpoint.has(first, second):
            yield endpoint.problem(f"stands beside `{first}`: {advice}", second)


def _codes(endpoint: Part) -> Iterator[Problem]:
    if endpoint.has("codes") and endpoint.has("event_date") and not endpoint.has("event"):
        yield endpoint.problem("are of `event`, and events come as `event_date` here", "codes")
    codes = endpoint.get("codes")
    if codes is None or codes != endpoint.given["codes"]:
        return
    for number, meaning in ((1, "it happened"), (0, "it did not happen")):
        if number not in codes.values():
            yield endpoint.problem(f"no code means {number} ({meaning})", "codes")
