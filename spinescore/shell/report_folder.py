"""The folder of a report: whole or as it was, private, without what an earlier report left."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
OURS = {
    "tables": re.compile(r"table-\d{2,}-[a-z0-9-]+\.(csv|html)"),
    "figures": re.compile(r"figure-\d{2,}-[a-z0-9-]+\.(svg|png)"),
}
DROPPED_IF_ABSENT = tuple(
    f"{prefix}{name}.pdf" for prefix in ("", "shareable-") for name in ("report", "supplement", "summary")
)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder whose files take their places in ``folder`` at the end, if nothing is raised."""
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    staging = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
    try:
        yield staging
        kept = {path.relative_to(staging) for path in files_of(staging)}
        _put_in_place(staging, folder)
        _remove_stale(folder, kept)
    except OSError as error:
        error.filename = error.filename or str(folder)  # a full disk names no file
        raise
    finally:
        shutil.rmtree(staging)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files under a folder, those of subfolders too."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        path.write_bytes(content)


def files_of(folder: Path) -> list[Path]:
    """Return the files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _put_in_place(staging: Path, folder: Path) -> None:
    for path in files_of(staging):
        path.chmod(PRIVATE_FILE)
        target = folder / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        os.replace(path, target)  # noqa: PTH105 - atomic on one file system


def _remove_stale(folder: Path, kept: set[Path]) -> None:
    """Remove what an earlier report of ours left and this one does not have."""
    for name in DROPPED_IF_ABSENT:
        if Path(name) not in kept:
            (folder / name).unlink(missing_ok=True)
    for part, pattern in OURS.items():
        for path in (folder / part).glob("*"):
            if pattern.fullmatch(path.name) and path.relative_to(folder) not in kept:
                path.unlink()
