"""Files that only their owner can read, whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PRIVATE = 0o600


def write_private(path: Path, text: str) -> None:
    """Put a text in the place of a file at once, mode 0600; a reader sees the old or the new one.

    Raises
    ------
    OSError
        If it cannot be written; an earlier file stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    staged = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        staged.chmod(PRIVATE)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def append_private(path: Path, line: str) -> None:
    """Append a line to a file, made with mode 0600 if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
