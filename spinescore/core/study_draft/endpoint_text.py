"""Guessed endpoints -> TOML, with the counts behind them; what is doubtful stands commented out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spinescore.core.study_draft.columns import Column
from spinescore.core.study_draft.endpoints import Codes, EndpointGuess
from spinescore.core.study_draft.page import Page
from spinescore.core.study_draft.spoken import plain, spoken, spoken_levels
from spinescore.study.toml_text import toml_key, toml_string

TRUE_CODES = frozenset({"1", "true", "1.0"})


def write_endpoint(
    page: Page, guess: EndpointGuess, endpoints: Sequence[EndpointGuess], origin: Column | None
) -> None:
    """Write one endpoint."""
    page.gap()
    off = not guess.usable
    header = f"endpoints.{toml_key(guess.name)}"
    if off:
        for doubt in guess.doubts:
            page.decide(_question(doubt, guess), f"{header}: {_short(doubt)}")
        page.remark("Then take the # away from the lines of this endpoint.")
    page.header(header, commented=off)
    page.pair("type", toml_string(guess.type), _counted(guess), commented=off)
    for key, column in guess.columns.items():
        _write_column(page, guess, key, column, off)
    if "time" in guess.columns:
        _write_time(page, guess, origin, off)
    if guess.type == "survival":
        _write_competing(page, guess, endpoints, off)


def _write_column(page: Page, guess: EndpointGuess, key: str, column: Column, off: bool) -> None:
    first = key == next(iter(guess.columns))
    if first and guess.why:
        page.guess(key, toml_string(column.name), guess.why, commented=off)
    else:
        page.pair(key, toml_string(column.name), spoken(column), commented=off)
    if key in ("event", "column"):
        _write_codes(page, column, guess.codes, off)


def _write_codes(page: Page, column: Column, codes: Codes, off: bool) -> None:
    if codes.mapping is not None:
        page.guess("codes", _codes(codes.mapping), f"{codes.why}: {spoken_levels(column)}", commented=off)
    elif not codes.known:
        for code, _ in column.levels:
            mapping = {other: int(other == code) for other, _ in column.levels}
            page.pair("codes", _codes(mapping), f"if {plain(code)} means that it happened", commented=True)


def _codes(mapping: Mapping[str, int]) -> str:
    ordered = sorted(mapping.items(), key=lambda item: (-item[1], item[0]))
    return f"{{ {', '.join(f'{toml_string(code)} = {meaning}' for code, meaning in ordered)} }}"


def _write_time(page: Page, guess: EndpointGuess, origin: Column | None, off: bool) -> None:
    page.guess("unit", toml_string(guess.unit), guess.unit_why, commented=off)
    if origin is None:
        why = "from the day of the image; else name the column of the days durations count from"
        page.guess("time_origin", '"image"', why, commented=off)
    else:
        why = f'the table has `{origin.name}`; "image" if durations count from the day of the image'
        page.guess("time_origin", toml_string(origin.name), why, commented=off)


def _write_competing(page: Page, guess: EndpointGuess, endpoints: Sequence[EndpointGuess], off: bool) -> None:
    death = next((other for other in endpoints if other.is_death and other.type == "survival"), None)
    if death is None or "death" in guess.name.split():
        return
    why = "who has died cannot have it any more"
    page.guess("competing", toml_string(death.name), why, commented=off or not death.usable)


def _counted(guess: EndpointGuess) -> str:
    """Return how many rows have the event, where the codes tell."""
    if "event_date" in guess.columns:
        day = guess.columns["event_date"]
        return _share(day.n - day.n_missing, day.n)
    event = guess.columns.get("event") or guess.columns.get("column")
    if event is None or not guess.codes.known:
        return ""
    if guess.codes.mapping is not None:
        yes = {code for code, meaning in guess.codes.mapping.items() if meaning}
    else:
        yes = {code for code in event.codes if code.casefold() in TRUE_CODES}
    missing = f"; {event.n_missing:,} missing" if event.n_missing else ""
    return _share(sum(n for code, n in event.levels if code in yes), event.n - event.n_missing) + missing


def _share(n: int, of: int) -> str:
    return f"{n:,} event{'' if n == 1 else 's'} in {of:,} rows ({n / of:.1%})" if of else "no row"


def _question(doubt: str, guess: EndpointGuess) -> str:
    if doubt == "codes":
        event = guess.columns.get("event") or guess.columns["column"]
        return (
            f"what do the codes of `{event.name}` mean? {spoken_levels(event)}. "
            "Keep the one line `codes` that is right."
        )
    if doubt == "end_date":
        return (
            "which column holds the last day each subject is known of (event, death or last contact)? "
            'Add it as `end_date = "..."`.'
        )
    return f"{doubt}" + (
        "" if doubt.endswith("?") else ": mend the table, or choose `event` or `event_date`."
    )


def _short(doubt: str) -> str:
    return {"codes": "what its codes mean", "end_date": "which column ends follow-up"}.get(doubt, doubt)
