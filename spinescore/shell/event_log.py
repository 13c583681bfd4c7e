"""A log of JSON lines: an object per event, with counts and codes, without names, paths and ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spinescore.shell.private_files import append_private
from spinescore.shell.run_status import utc_now


class EventLog:
    """Appends events to a file; to none if there is no path."""

    def __init__(self, path: Path | None, **always: Any) -> None:
        self._path, self._always = path, always

    def write(self, event: str, **fields: Any) -> None:
        """Append an event with its time (UTC)."""
        if self._path is not None:
            line = {"at": utc_now(), "event": event, **self._always, **fields}
            append_private(self._path, json.dumps(line, ensure_ascii=False))
