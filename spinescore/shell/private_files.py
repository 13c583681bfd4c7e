"""Files that only their owner can read, whole or not there."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

PRIVATE, GROUP_READS = 0o600, 0o640


def write_private(path: Path, content: str | bytes) -> None:
    """Put a text, or bytes, in the place of a file at once; a reader sees the old or the new one.

    Its mode is 0600; a group that may read the file it takes the place of (0640) may read it too.

    Raises
    ------
    OSError
        If it cannot be written; an earlier file stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    staged = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
        _keep_readers(staged, path)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def _keep_readers(staged: Path, path: Path) -> None:
    staged.chmod(PRIVATE)
    if path.exists():
        before = path.stat()
        if stat.S_IMODE(before.st_mode) == GROUP_READS and before.st_uid == os.geteuid():
            os.chown(staged, -1, before.st_gid)
            staged.chmod(GROUP_READS)


def append_private(path: Path, line: str) -> None:
    """Append a line to a file, made with mode 0600 if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
