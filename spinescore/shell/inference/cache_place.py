"""Where what can be made again is kept, and what was measured on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from spinescore.shell.private_files import write_private

MEASURED = "measured.json"
MOST_MEASURED = 64


def cache_folder() -> Path:
    """Return where compiled networks are kept: SPINESCORE_HOME/cache, or the XDG cache."""
    home = os.environ.get("SPINESCORE_HOME")
    if home:
        return Path(home) / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spinescore"


def recall(key: str) -> Any:
    """Return what was measured under a key on this machine, or None."""
    return _read_measured().get(key)


def remember(key: str, finding: Any) -> None:
    """Keep a measurement for later runs, 64 in all; a cache that cannot be written is done without.

    Two runs that measure at once may lose one of the findings: it is measured again then.
    """
    found = _read_measured()
    found.pop(key, None)
    found[key] = finding
    newest = dict(list(found.items())[-MOST_MEASURED:])
    try:
        write_private(cache_folder() / MEASURED, json.dumps(newest, indent=1) + "\n")
    except OSError:
        return


def _read_measured() -> dict[str, Any]:
    try:
        found = json.loads((cache_folder() / MEASURED).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
