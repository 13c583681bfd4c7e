"""Names and values -> TOML."""

from __future__ import annotations

import json

from spinescore.study.lines import BARE_KEY


def toml_string(text: str) -> str:
    """Return a text as a TOML string.

    >>> print(toml_string('a "b"'))
    "a \\"b\\""
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """Return a name as a TOML key, quoted where it has to be."""
    return name if BARE_KEY.fullmatch(name) else toml_string(name)


def toml_list(texts: list[str]) -> str:
    """Return texts as a TOML list on one line."""
    return f"[{', '.join(map(toml_string, texts))}]"
