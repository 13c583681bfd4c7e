"""The manifest of an export: one row per image, copied or refused, in pseudonyms alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from spinescore.errors import ExportError
from spinescore.shell.copies.deidentified_files import write_whole

MANIFEST = "manifest.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One image of an export.

    Parameters
    ----------
    sop_instance_uid, study_instance_uid, subject_id : str
        The copy's, not the original's.
    kind : {"radiograph", "vfa"}
        What the original was indexed as.
    state : {"written", "refused"}
    reason : str
        Reason code of a refusal.
    eligible_as : str
        What the rules take the copy for, by its own header.
    pixels : {"passed", "rewritten", "blanked"}
        Bit for bit; uncompressed, without what lay in unused bits; uncompressed, regions made black.
    dates : {"shift", "keep"}
    size_bytes, sha256
        Of the copy.
    made_from : str
        A keyed mark by which the next export knows that nothing changed.
    """

    sop_instance_uid: str
    study_instance_uid: str
    subject_id: str
    kind: str
    state: str
    reason: str
    eligible_as: str
    pixels: str
    dates: str
    size_bytes: int
    sha256: str
    made_from: str


COLUMNS = tuple(field.name for field in fields(ManifestRow))


def read_manifest(path: Path) -> dict[str, ManifestRow]:
    """Return the rows of a manifest by SOP Instance UID.

    Raises
    ------
    ExportError
        If the file is not a manifest of ours.
    OSError
        If it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError("other columns")
            rows = [ManifestRow(**{**row, "size_bytes": int(row["size_bytes"])}) for row in reader]  # type: ignore[arg-type]
    except (ValueError, TypeError, csv.Error) as error:
        raise ExportError(
            f"{path} is not the manifest of an export ({error}).", "Export to an empty or a new folder."
        ) from error
    return {row.sop_instance_uid: row for row in rows}


def write_manifest(path: Path, rows: Iterable[ManifestRow]) -> None:
    """Write the manifest whole; sorted by UID, so that its order tells nothing.

    Raises
    ------
    OSError
        If the folder takes no file.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in sorted(rows, key=lambda row: row.sop_instance_uid))
    write_whole(path, text.getvalue().encode("utf-8"))
