"""Versions of what the numbers were computed with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from spinescore import __version__

SOFTWARE = ("lifelines", "scikit-learn", "scipy", "numpy", "polars", "duckdb")


def software_versions() -> dict[str, str]:
    """Return the versions of spinescore, Python and what it computes with."""
    found = {"spinescore": __version__, "Python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
