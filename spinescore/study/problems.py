"""What is wrong with a study file, in words: where it stands, what was found, what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from spinescore.study.lines import Key
from spinescore.study.toml_text import toml_key, toml_string

LISTED = "\n  "
LONGEST_SHOWN = 60
CLOSE = 0.5


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a study file.

    Parameters
    ----------
    path : tuple
        The key it is about, from the top of the file; empty for the file as a whole.
    message : str
        What was found, and what would be right.
    """

    path: Key
    message: str

    def __str__(self) -> str:
        return f"{spoken_path(self.path)}: {self.message}" if self.path else self.message


def spoken_path(path: Key) -> str:
    """Return a key as one would write it in the file.

    >>> spoken_path(("models", "Model 1", 0))
    'models."Model 1"[0]'
    """
    spoken = ""
    for part in path:
        if isinstance(part, int):
            spoken += f"[{part}]"
        else:
            spoken += f".{toml_key(part)}" if spoken else toml_key(part)
    return spoken


def spoken_value(value: Any) -> str:
    """Return a value as one would write it in the file; what is long is named, not shown."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | datetime | time):
        return f"the date {value}" if isinstance(value, date) else f"the time {value}"
    text = toml_string(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def one_of(choices: Iterable[str]) -> str:
    """Join choices as a sentence has them.

    >>> one_of(["a", "b", "c"])
    'a, b or c'
    """
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def nearest(name: str, known: Collection[str], cutoff: float = CLOSE) -> str | None:
    """Return the known name that a misspelt one is nearest to, if any is near."""
    plain = {re.sub(r"[-_ ]", "", candidate).casefold(): candidate for candidate in sorted(known)}
    folded = re.sub(r"[-_ ]", "", name).casefold()
    if folded in plain:
        return plain[folded]
    close = difflib.get_close_matches(folded, plain, n=1, cutoff=cutoff)
    return plain[close[0]] if close else None


def suggestion(name: str, known: Collection[str]) -> str:
    """Say which known name is nearest to one that is not known, or which names there are."""
    near = nearest(name, known)
    if near is not None:
        return f"did you mean `{near}`?"
    return f"known here: {', '.join(f'`{candidate}`' for candidate in known)}" if known else "there are none"


def report(file: str, located: Sequence[tuple[int, Problem]]) -> str:
    """Return all problems of a file as one message, in the order of the file, a line each."""
    ordered = sorted(located, key=lambda item: (item[0], item[1].path != (), str(item[1])))
    lines = dict.fromkeys(f"{file}:{line}: {problem}" for line, problem in ordered)
    n = len(lines)
    return LISTED.join([f"{file} has {n} problem{'s' if n > 1 else ''}:", *lines])
