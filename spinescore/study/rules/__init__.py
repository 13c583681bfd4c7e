"""What the keys of a study file say together: names that refer to nothing, and what cannot be meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spinescore.study.problems import Problem
from spinescore.study.rules.columns import column_problems
from spinescore.study.rules.endpoints import endpoint_problems
from spinescore.study.rules.names import name_problems
from spinescore.study.rules.parts import Settings
from spinescore.study.rules.references import reference_problems
from spinescore.study.rules.values import value_problems

RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    name_problems,
    reference_problems,
    endpoint_problems,
    column_problems,
    value_problems,
)


def rule_problems(sound: Mapping[str, Any], given: Mapping[str, Any]) -> list[Problem]:
    """Return everything in a study file's content that single keys cannot show.

    Parameters
    ----------
    sound : mapping
        The keys whose values are of the right type.
    given : mapping
        All keys that the file has: one whose value is wrong is not missing as well.
    """
    settings = Settings(sound, given)
    return [problem for rule in RULES for problem in rule(settings)]
