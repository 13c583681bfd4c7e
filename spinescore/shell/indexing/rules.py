"""Eligibility rules from disk: the shipped file, and a user's over it."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from spinescore.core.eligibility.rule_set import RuleSet
from spinescore.core.eligibility.rule_tables import build_rule_set
from spinescore.errors import RulesError
from spinescore.shell.resources import resource

SHIPPED = "the shipped rules"


@cache
def default_rules() -> RuleSet:
    """Return the shipped rules, ``spinescore/data/eligibility.toml``."""
    return build_rule_set(_shipped_tables(), SHIPPED)


def read_rules(path: Path | None = None) -> RuleSet:
    """Return the rules of a user's file, which extends the shipped ones; without a file those alone.

    Raises
    ------
    RulesError
        If the file cannot be read, is not TOML, or says what the format does not have.
    """
    if path is None:
        return default_rules()
    return build_rule_set(_parse(path, str(path)), str(path), _shipped_tables())


@cache
def _shipped_tables() -> dict[str, Any]:
    return _parse(resource("data", "eligibility.toml"), SHIPPED)


def _parse(path: Path, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RulesError(where, [f"cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError as error:
        raise RulesError(where, [f"is not UTF-8 (byte {error.start + 1})"]) from error
    except tomllib.TOMLDecodeError as error:
        raise RulesError(where, [f"is not TOML: {error}"]) from error
