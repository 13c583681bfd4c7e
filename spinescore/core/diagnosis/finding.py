"""One line of `doctor`: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["pass", "warn", "fail"]
WORST_FIRST: tuple[State, ...] = ("fail", "warn", "pass")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Parameters
    ----------
    area, name : str
        What was looked at.
    state : {"pass", "warn", "fail"}
        ``warn`` works, but not as it should; ``fail`` does not work.
    found : str
        What there is.
    advice : str
        What to do, in one sentence; empty where nothing is to be done.
    """

    area: str
    name: str
    state: State
    found: str
    advice: str = ""


def judge(area: str, name: str, found: str, *, fail: str = "", warn: str = "") -> Finding:
    """Return a finding whose state is that of the advice there is: that of a failure before a warning.

    >>> judge("machine", "memory", "2 GB", warn="Add some.").state
    'warn'
    """
    state: State = "fail" if fail else "warn" if warn else "pass"
    return Finding(area, name, state, found, fail or warn)


def worst(findings: Sequence[Finding]) -> State:
    """Return the worst state of several findings; ``pass`` if there are none."""
    states = {finding.state for finding in findings}
    return next((state for state in WORST_FIRST if state in states), "pass")
