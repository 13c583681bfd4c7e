"""What messages about tables say of a study file's keys, for a command whose options say the same."""

from __future__ import annotations

import re

from spinescore.errors import TableError

KEYS = "delimiter|encoding|format|decimal|dates|sheet"
AS_OPTIONS = (
    (re.compile(r"`dates = \{ [^`]*= \"(\w+)\" \}`"), r"`--dates \1`"),
    (re.compile(rf"`({KEYS}) = ([^`]+)`"), r"`--\1 \2`"),
    (re.compile(rf"`({KEYS})`"), r"`--\1`"),
    (re.compile(r"`header_row`"), "`--header-row`"),
    (re.compile(r"`id_width`"), "`--id-width`"),
    (re.compile(r" under \[subjects\]"), ""),
    (re.compile(r"Check `subjects\.file` in the study file"), "Check the file"),
)


def as_options(text: str) -> str:
    """Return a text with options in the place of a study file's keys.

    >>> as_options("Say `sheet` under [subjects].")
    'Say `--sheet`.'
    """
    for pattern, option in AS_OPTIONS:
        text = pattern.sub(option, text)
    return text


def with_options(error: TableError) -> TableError:
    """Return an error that speaks of options."""
    return TableError(as_options(error.message), as_options(error.next_step))
