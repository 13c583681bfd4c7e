"""The shipped parity cases, run on this machine -> one value; its document as HTML, PDF, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from spinescore.core.verification.case import run_case
from spinescore.core.verification.document import build_document
from spinescore.core.verification.families import every_family
from spinescore.core.verification.verification import Verification, verification_json
from spinescore.shell.reference_files import read_references
from spinescore.shell.render import render_files
from spinescore.shell.software import software_versions

STEM = "verification"
HEADS = (
    "family",
    "case",
    "title",
    "convention",
    "r_call",
    "statistic",
    "position",
    "spinescore",
    "r",
    "absolute_difference",
    "relative_difference",
    "tolerance",
    "statistic_agrees",
)


def verify_statistics(begin: Callable[[str], None] = lambda _: None) -> Verification:
    """Compute every statistic of the parity cases here and hold it against R's.

    Parameters
    ----------
    begin : callable, optional
        Told the title of each family before it is computed.

    Raises
    ------
    FileNotFoundError
        If the reference numbers are not part of this installation.
    """
    references = read_references()
    done = []
    for family in every_family(references):
        begin(family.title)
        done.append((family, tuple(run_case(case) for case in family.cases)))
    machine = f"{platform.platform()}, {platform.machine()}"
    return Verification(done, references, software_versions(), machine, datetime.now(UTC))


def write_verification(verification: Verification, folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write the document into a folder; returns the files, and a warning where the PDF could not be made."""
    files, warnings = render_files(build_document(verification), STEM)
    stored = json.dumps(verification_json(verification), ensure_ascii=False, indent=1, allow_nan=False)
    files |= {f"{STEM}.json": stored.encode(), f"{STEM}.csv": _as_csv(verification).encode()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return tuple(folder / name for name in files), warnings


def _as_csv(verification: Verification) -> str:
    """Return a row for each number, in full precision."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADS)
    for case in verification_json(verification)["cases"]:
        for found in case["statistics"]:
            keys = ("spinescore", "r", "absolute_difference", "relative_difference")
            for position, numbers in enumerate(zip(*(found[key] for key in keys), strict=True)):
                described = [case[key] for key in ("family", "key", "title", "convention", "call")]
                writer.writerow(
                    [*described, found["statistic"], position, *numbers, found["tolerance"], found["agrees"]]
                )
    return buffer.getvalue()
