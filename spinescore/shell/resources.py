"""Where sql/, templates/, data/ and R's reference numbers are: inside the package, else in the checkout."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def resource(*parts: str) -> Path:
    """Return the path of a shipped file or folder, package first, then checkout.

    Raises
    ------
    FileNotFoundError
        If neither has it: the installation is broken.
    """
    for root in (PACKAGE, PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(f"{'/'.join(parts)} is not part of this installation; reinstall spinescore.")


def reference_folder() -> Path:
    """Return the folder of R's numbers and their data: in the package, in a checkout beside their tests."""
    try:
        return resource("reference")
    except FileNotFoundError:
        return resource("tests", "reference")


@cache
def sql(name: str) -> str:
    """Return the text of ``sql/<name>.sql``."""
    return resource("sql", f"{name}.sql").read_text(encoding="utf-8")


def home() -> Path:
    """Return SPINESCORE_HOME (key, caches, logs); XDG data folder by default; made 0700."""
    configured = os.environ.get("SPINESCORE_HOME")
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    folder = Path(configured) if configured else Path(data_home) / "spinescore"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
