"""Which columns of a follow-up table make endpoints: events, and the time or the days that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from spinescore.core.study_draft.columns import Column
from spinescore.core.study_draft.words import (
    ALIVE,
    BONE,
    CENSORED,
    DATE_MARKS,
    DURATION_MARKS,
    END_MARKS,
    END_SURE,
    EVENT_MARKS,
    IMAGE_DAY,
    NOT_FOLLOW_UP,
    ORIGIN_DAY,
    OUTCOME,
    PREVALENT,
    UNITS,
    happened,
    mentions,
    stem,
    tokens,
)

MOST_EVENT_CODES = 4
PLAIN_CODES = ({"0", "1"}, {"false", "true"}, {"0.0", "1.0"})
LONGEST_YEARS, LONGEST_MONTHS = 60.0, 480.0
MOST_WITHOUT_TIME = 0.5


@dataclass(frozen=True, slots=True)
class Codes:
    """What the codes of an event column mean.

    Parameters
    ----------
    mapping : mapping of str to int, optional
        What to write as ``codes``; None where nothing has to be written.
    known : bool
        Whether that can be told at all.
    why : str
        By what.
    """

    mapping: Mapping[str, int] | None = None
    known: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class EndpointGuess:
    """One endpoint, as it may be written.

    Parameters
    ----------
    name : str
        Its name.
    type : {"survival", "binary"}
        As in the study file.
    columns : mapping of str to Column
        The columns by their keys: event, time, event_date, end_date or column.
    codes : Codes
        Of ``event`` or ``column``.
    unit : str
        Of ``time``.
    why : str
        What spoke for it.
    doubts : sequence of str
        What has to be decided before it can be used; it stands commented out then.
    echoes : sequence of Column
        Columns that say the same and are not needed.
    """

    name: str
    type: str
    columns: Mapping[str, Column]
    codes: Codes = field(default_factory=Codes)
    unit: str = ""
    unit_why: str = ""
    why: str = ""
    doubts: Sequence[str] = ()
    echoes: Sequence[Column] = ()

    @property
    def usable(self) -> bool:
        """Whether it can stand in the file as it is."""
        return not self.doubts

    @property
    def at_baseline(self) -> bool:
        """Whether it is known once, of what there was before the image."""
        column = self.columns.get("column")
        return column is not None and mentions(column.name, PREVALENT | BONE)

    @property
    def is_death(self) -> bool:
        """Whether it is death from any cause."""
        return self.name == "death"


@dataclass(frozen=True, slots=True)
class Sorted:
    """The columns that may belong to endpoints, by what they could be."""

    events: list[Column]
    durations: list[Column]
    days: list[Column]
    ends: list[Column]


def guess_endpoints(columns: Sequence[Column]) -> list[EndpointGuess]:
    """Return the endpoints that a table's columns make; ``columns`` are those that say nothing else."""
    found = _sort(columns)
    of_events = [(event, _of_event(event, found)) for event in found.events]
    guesses = [_full(event, guess) for event, guess in of_events if guess is not None]
    guesses += [
        _of_day(day, found) for day in found.days if _is_event_day(day) and not _has_event(day, found)
    ]
    return _shared_time_doubted(_with_own_names(guesses))


def is_event_like(column: Column) -> bool:
    """Tell whether a column has so few values that it may say yes or no."""
    fewest = 1 if column.n_missing else 2  # 1 or empty may be a yes or no too
    return fewest <= column.n_distinct <= MOST_EVENT_CODES and column.content in ("numbers", "text")


def origin_day(columns: Sequence[Column]) -> Column | None:
    """Return the one column of days that durations may count from, if it is no day of imaging."""
    days = [c for c in columns if c.content == "days" and mentions(c.name, ORIGIN_DAY)]
    days = [day for day in days if not mentions(day.name, IMAGE_DAY | END_SURE)]
    return days[0] if len(days) == 1 else None


def read_codes(column: Column) -> Codes:
    """Return what the codes of an event column mean: 0/1, words, labels; never by their order."""
    codes = {code.casefold() for code in column.codes}
    reversed_name = mentions(column.name, ALIVE) or mentions(column.name, CENSORED)
    if any(codes <= plain for plain in PLAIN_CODES):
        if not reversed_name:
            return Codes()
        mapping = {code: int(code.casefold() in ("0", "0.0", "false")) for code in sorted(column.codes)}
        return Codes(mapping, why=f"by its name `{column.name}` 1 means that nothing happened")
    for texts, why in (
        ({code: column.labels.get(code, "") for code in column.codes}, "by the file's labels"),
        ({code: code for code in column.codes}, "by the words"),
    ):
        meant = {code: happened(text) for code, text in sorted(texts.items())}
        if None not in meant.values() and list(meant.values()).count(True) == 1:
            return Codes({code: int(bool(yes)) for code, yes in meant.items()}, why=why)
    return Codes(known=False)


def guess_unit(column: Column) -> tuple[str, str]:
    """Return the unit of a column of durations, and by what: its name, else its range."""
    words = set(tokens(column.name))
    for unit, names in UNITS.items():
        if words & {name for name in names if len(name) > 1} or any(
            not name.isascii() and name in column.name for name in names
        ):
            return unit, "by its name"
    last = tokens(column.name)[-1:] or ("",)
    for unit, names in UNITS.items():
        if last[0] in names and len(words) > 1:
            return unit, "by its name"
    _, high = column.bounds
    unit = (
        "years" if high <= LONGEST_YEARS else "months" if high <= LONGEST_MONTHS and column.whole else "days"
    )
    return unit, f"by its largest value, {high:g}"


def _sort(columns: Sequence[Column]) -> Sorted:
    days = [c for c in columns if c.content == "days"]
    events = [c for c in columns if is_event_like(c)]
    durations = [c for c in columns if _is_duration(c)]
    ends = [c for c in days if mentions(c.name, END_SURE) and not stem(c.name, DATE_MARKS | END_MARKS)]
    return Sorted(events, durations, days, ends)


def _is_duration(column: Column) -> bool:
    words = tokens(column.name)
    marked = mentions(column.name, DURATION_MARKS - {"y", "m", "d", "of", "to", "up"}) or words[-1:] in (
        ("y",),
        ("m",),
        ("d",),
    )
    return (
        column.content == "numbers"
        and marked
        and len(column.levels) != 2
        and column.bounds[0] >= 0
        and not set(words) & NOT_FOLLOW_UP
    )


def _of_event(event: Column, found: Sorted) -> EndpointGuess | None:
    """Return the endpoint of a column of events, by what belongs to it; None if nothing says it is one."""
    own = stem(event.name, EVENT_MARKS | CENSORED)
    codes = read_codes(event)
    name = " ".join(own) or "event"
    time = next((t for t in found.durations if stem(t.name, DURATION_MARKS | EVENT_MARKS) == own), None)
    if time is not None and _is_followed(event, codes, time):
        return _timed(name, event, codes, time, f"`{event.name}` and `{time.name}` have one name")
    day = next((d for d in found.days if own and stem(d.name, DATE_MARKS | EVENT_MARKS) == own), None)
    end = next(iter(found.ends), None)
    if day is not None and end is not None:
        return _dated(name, event, codes, day, end)
    if mentions(event.name, PREVALENT | BONE):
        return _binary(event, codes)
    marked = not own and mentions(event.name, EVENT_MARKS)
    if not (marked or own == ("death",) or mentions(event.name, OUTCOME | CENSORED)):
        return None
    return _without_own_time(name, event, codes, day, found)


def _without_own_time(
    name: str, event: Column, codes: Codes, day: Column | None, found: Sorted
) -> EndpointGuess:
    """Return the endpoint of an event that only a time or last day of everybody can belong to, if any."""
    end = next(iter(found.ends), None)
    general = next((t for t in found.durations if not stem(t.name, DURATION_MARKS)), None)
    if general is not None:
        return _timed(name, event, codes, general, f"`{general.name}` is the only time that may be its own")
    if end is not None:
        why = f"`{end.name}` is the only last day known"
        return EndpointGuess(
            name, "survival", {"event": event, "end_date": end}, codes, why=why, doubts=_unread(codes)
        )
    if day is not None:
        return EndpointGuess(name, "survival", {"event_date": day}, doubts=("end_date",), echoes=(event,))
    return _binary(event, codes)


def _is_followed(event: Column, codes: Codes, time: Column) -> bool:
    """Tell whether those without the event have a time too: else it is the time since something before."""
    values = event.text.str.to_lowercase()
    without = [code for code, value in (codes.mapping or {"0": 0, "false": 0}).items() if not value]
    rows = values.is_in([code.casefold() for code in without]).fill_null(value=False)
    times = time.numbers.filter(rows) if time.numbers is not None else pl.Series([], dtype=pl.Float64)
    without_time = times.is_null() | (times == 0)
    return not len(times) or int(without_time.sum()) / len(times) <= MOST_WITHOUT_TIME


def _full(event: Column, guess: EndpointGuess) -> EndpointGuess:
    """Doubt an endpoint whose column has one code, or is empty: empty is read as not known."""
    if event.n_distinct > 1 or "event_date" in guess.columns:
        return guess
    doubt = (
        f"does empty in `{event.name}` mean that it did not happen? Write a code for that in the table then"
    )
    return replace(guess, codes=Codes(), doubts=(doubt,))


def _unread(codes: Codes) -> tuple[str, ...]:
    return () if codes.known else ("codes",)


def _timed(name: str, event: Column, codes: Codes, time: Column, why: str) -> EndpointGuess:
    unit, unit_why = guess_unit(time)
    columns = {"event": event, "time": time}
    return EndpointGuess(name, "survival", columns, codes, unit, unit_why, why, _unread(codes))


def _dated(name: str, event: Column, codes: Codes, day: Column, end: Column) -> EndpointGuess:
    """Return an endpoint of days, if its 0/1 says the same; else what to look into."""
    columns = {"event_date": day, "end_date": end}
    dated, happened_so = day.text.is_not_null(), _said(event, codes, day)
    differ = int((happened_so != dated).sum())
    unknown = int((event.text.is_null() & ~dated & end.text.is_not_null()).sum())
    doubts = []
    if differ:
        doubts.append(f"`{event.name}` and `{day.name}` contradict each other in {differ:,} row(s)")
    if unknown:
        doubts.append(f"{unknown:,} row(s) with `{event.name}` empty would count as without the event")
    why = f"`{day.name}` is filled where `{event.name}` says so"
    return EndpointGuess(name, "survival", columns, why=why, doubts=doubts, echoes=(event,))


def _said(event: Column, codes: Codes, day: Column) -> pl.Series:
    """Return whether events happened by their codes, or by which codes have a day."""
    if codes.known:
        mapping = codes.mapping or {"0": 0, "1": 1, "false": 0, "true": 1, "0.0": 0, "1.0": 1}
        lower = {code.casefold(): bool(value) for code, value in mapping.items()}
    else:
        rows = pl.DataFrame({"code": event.text, "dated": day.text.is_not_null()}).drop_nulls("code")
        shares = rows.group_by("code").agg(pl.col("dated").mean())
        lower = {str(code).casefold(): share > MOST_WITHOUT_TIME for code, share in shares.iter_rows()}
    return event.text.str.to_lowercase().replace_strict(lower, default=None, return_dtype=pl.Boolean)


def _is_event_day(day: Column) -> bool:
    words = stem(day.name, DATE_MARKS | EVENT_MARKS)
    return (
        bool(words)
        and day.n_missing > 0
        and mentions(day.name, OUTCOME)
        and not mentions(day.name, IMAGE_DAY | ORIGIN_DAY | PREVALENT)
        and not mentions(day.name, END_SURE)
    )


def _has_event(day: Column, found: Sorted) -> bool:
    own = stem(day.name, DATE_MARKS | EVENT_MARKS)
    return any(stem(event.name, EVENT_MARKS | CENSORED) == own for event in found.events)


def _of_day(day: Column, found: Sorted) -> EndpointGuess:
    name = " ".join(stem(day.name, DATE_MARKS | EVENT_MARKS))
    end = next(iter(found.ends), None)
    if end is None:
        return EndpointGuess(name, "survival", {"event_date": day}, doubts=("end_date",))
    why = f"`{day.name}` is empty where nothing happened, `{end.name}` is the last day known"
    return EndpointGuess(name, "survival", {"event_date": day, "end_date": end}, why=why)


def _binary(event: Column, codes: Codes) -> EndpointGuess:
    spaced = event.name.replace("_", " ")
    name = spaced if spaced != event.name else f"{spaced} (outcome)"  # the covariate has that name
    return EndpointGuess(
        name, "binary", {"column": event}, codes, why="no time belongs to it", doubts=_unread(codes)
    )


def _with_own_names(guesses: Sequence[EndpointGuess]) -> list[EndpointGuess]:
    """Give guesses of one name the names of their columns."""
    taken: set[str] = set()
    named = []
    for guess in guesses:
        name = guess.name
        if name.casefold() in taken:
            name = next(iter(guess.columns.values())).name
        while name.casefold() in taken:
            name += " (2)"
        taken.add(name.casefold())
        named.append(replace(guess, name=name))
    return named


def _shared_time_doubted(guesses: Sequence[EndpointGuess]) -> list[EndpointGuess]:
    """Doubt all but death where several events share one time or last day: it can be one event's alone."""
    users: dict[str, int] = {}
    for guess in guesses:
        for key in ("time", "end_date"):
            if "event" in guess.columns and key in guess.columns:
                users[guess.columns[key].name] = users.get(guess.columns[key].name, 0) + 1
    checked = []
    for guess in guesses:
        shared = next(
            (
                guess.columns[key].name
                for key in ("time", "end_date")
                if "event" in guess.columns and key in guess.columns and users[guess.columns[key].name] > 1
            ),
            None,
        )
        if shared is None or guess.is_death:
            checked.append(guess)
        else:
            doubt = f"`{shared}` stands beside other events too: does it end at this one?"
            checked.append(replace(guess, doubts=(*guess.doubts, doubt)))
    return checked
