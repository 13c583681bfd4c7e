"""R's numbers and the tables they were computed from, read from where they are shipped."""

from __future__ import annotations

import hashlib
import json

import polars as pl

from spinescore.core.verification.references import References
from spinescore.shell.resources import reference_folder


def read_references() -> References:
    """Read every file of reference numbers and every table.

    Raises
    ------
    FileNotFoundError
        If they are not part of this installation.
    """
    folder = reference_folder()
    files = sorted(folder.glob("*.json")), sorted(folder.glob("*.csv")), sorted(folder.glob("*.R"))
    return References(
        numbers={path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files[0]},
        tables={path.stem: pl.read_csv(path, null_values="NA") for path in files[1]},
        hashes={
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for group in files for path in group
        },
    )
