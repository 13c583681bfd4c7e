"""The images of a database -> de-identified copies in a folder, with a manifest of pseudonyms.

The way back from a copy to its original is written nowhere: it takes the key and the database.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl

from spinescore.core.deidentification.attribute_table import AttributeTable, read_attribute_table
from spinescore.core.deidentification.basic_profile import Dates, Identity
from spinescore.core.deidentification.replacement import Replacements
from spinescore.core.eligibility.rule_set import RuleSet
from spinescore.errors import DatabaseError, ExportError
from spinescore.shell.copies.copy_manifest import MANIFEST, ManifestRow, read_manifest, write_manifest
from spinescore.shell.copies.deidentified_files import (
    BurnedIn,
    CopyItem,
    CopyOutcome,
    CopySettings,
    copy_path,
    make_copy,
)
from spinescore.shell.identity import MODE_KEY, PSEUDONYM_LENGTH, pseudonymiser
from spinescore.shell.indexing.rules import default_rules
from spinescore.shell.resources import resource
from spinescore.shell.warehouse import Warehouse
from spinescore.shell.workers import WorkerFailure, map_supervised

COPY_TIMEOUT_S = 120.0
COPY_MEMORY_BYTES = 6 << 30
ITEMS_WORTH_A_WORKER = 16
REASON = re.compile(r"[a-z][a-z0-9_]{0,40}")
PSEUDONYM = re.compile(rf"[0-9a-f]{{{PSEUDONYM_LENGTH}}}")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export, and how.

    Parameters
    ----------
    folder : Path
        Where to; made if it is not there, otherwise empty or from an earlier export.
    dates : {"shift", "keep"}
        Shift each subject's dates by a number of days of its own, or keep them.
    burned_in : {"refuse", "blank"}
        What becomes of images with burned-in text: left out, or blanked where a ``[[blank]]`` rule says.
    rules : RuleSet, optional
        With the blank rules; the shipped rules if left out.
    workers : int
        Copying processes; 0 is one per core.
    """

    folder: Path
    dates: Dates = "shift"
    burned_in: BurnedIn = "refuse"
    rules: RuleSet | None = None
    workers: int = 0


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export did.

    Parameters
    ----------
    run_id : int
    n_images : int
        Indexed images; each was written, was there already, or refused.
    n_written, n_unchanged, n_refused : int
    refusals : polars.DataFrame
        ``reason, images``, the most frequent first.
    manifest : Path
    """

    run_id: int
    n_images: int
    n_written: int
    n_unchanged: int
    n_refused: int
    refusals: pl.DataFrame
    manifest: Path


@cache
def attribute_table() -> AttributeTable:
    """Return the shipped table of what a copy may hold, ``spinescore/data/deidentification.toml``."""
    return read_attribute_table(
        tomllib.loads(resource("data", "deidentification.toml").read_text(encoding="utf-8"))
    )


def export_deidentified(
    warehouse: Warehouse, request: ExportRequest, *, progress: Progress = lambda *_: None
) -> ExportSummary:
    """Write a de-identified copy of every indexed image; what is there already is left alone.

    Parameters
    ----------
    warehouse : Warehouse
        With pseudonyms; its key replaces UIDs and shifts dates.
    request : ExportRequest
    progress : callable
        Called with (images finished since the last call, images in all).

    Raises
    ------
    DatabaseError
        If the database holds patient ids verbatim, or was made under another key.
    ExportError
        If the folder is not fit for it, or takes no more.
    """
    replacements = _replacements(warehouse)
    folder = Path(os.path.abspath(request.folder))  # noqa: PTH100 resolve() would follow the user's links
    _check_sources(warehouse, folder)
    settings = CopySettings(
        folder,
        attribute_table(),
        replacements,
        request.rules or default_rules(),
        request.dates,
        request.burned_in,
    )
    known = _open_folder(folder, request)
    images = warehouse.fetch("ingest/exportable_images")
    arguments = {"folder": str(folder), "dates": request.dates, "burned_in": request.burned_in}
    with warehouse.run("export-deidentified", arguments) as run:
        export = _Export(settings, known)
        progress(0, images.height)
        try:
            waiting = export.sort_out(images.iter_rows(named=True))
            progress(images.height - len(waiting), images.height)
            for _ in export.copy(waiting, request.workers):
                progress(1, images.height)
        finally:
            export.keep_manifest()
        run.counts = {state: export.counts[state] for state in ("written", "unchanged", "refused")}
        return ExportSummary(
            run.run_id,
            images.height,
            export.counts["written"],
            export.counts["unchanged"],
            export.counts["refused"],
            export.refusals(),
            folder / MANIFEST,
        )


def _replacements(warehouse: Warehouse) -> Replacements:
    if warehouse.meta(MODE_KEY) == "verbatim":
        raise DatabaseError(
            f"{warehouse.path} holds patient ids as they are; copies made from it would carry them.",
            "Ingest into a new database without --keep-identifiers, and export from that one.",
        )
    key = pseudonymiser(warehouse).key
    assert key is not None
    return Replacements(key)


def _check_sources(warehouse: Warehouse, folder: Path) -> None:
    """Refuse a folder within a source: the next ingest would take copies for further subjects."""
    for (arguments,) in warehouse.fetch("ingest/export_sources").iter_rows():
        for source in json.loads(arguments or "{}").get("sources", ()):
            if folder.resolve().is_relative_to(Path(source).resolve()):
                raise ExportError(
                    f"{folder} lies within {source}, which is ingested: copies would be indexed as images.",
                    "Export to a folder outside the sources.",
                )


def _open_folder(folder: Path, request: ExportRequest) -> dict[str, ManifestRow]:
    """Make the folder ready and return what an earlier export put there, by new SOP Instance UID."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = {entry.name for entry in os.scandir(folder)}
        if entries and MANIFEST not in entries:
            raise ExportError(
                f"{folder} holds other files, and no manifest of an earlier export.",
                "Export to an empty or a new folder.",
            )
        known = read_manifest(folder / MANIFEST) if entries else {}
        write_manifest(folder / MANIFEST, known.values())
    except FileExistsError:
        raise ExportError(f"{folder} is no folder.", "Export to an empty or a new folder.") from None
    except OSError as error:
        raise _target_error(folder, str(error.strerror or error)) from None
    if any(row.dates != request.dates for row in known.values() if row.state == "written"):
        raise ExportError(
            f"{folder} holds copies made with dates of the other kind; intervals would not fit.",
            "Export to a new folder, or with the same choice of dates.",
        )
    return known


def _target_error(folder: Path, said: str) -> ExportError:
    return ExportError(
        f"Copies cannot be written to {folder}: {said}.",
        "Make room or name another folder; what is written stays, and the same command goes on from there.",
    )


class _Export:
    """Keeps track of one export: what is known, what is done, what is counted."""

    def __init__(self, settings: CopySettings, known: dict[str, ManifestRow]) -> None:
        self._settings, self._rows = settings, known
        self._reasons: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def sort_out(self, images: Iterable[Mapping[str, Any]]) -> list[CopyItem]:
        """Return the images to copy; settle those that are there already or belong to nobody."""
        waiting = []
        for image in images:
            item = self._item(image)
            if image["subject_id"] is None:
                self._settle(item, CopyOutcome("refused", "patientid_missing"))
            elif PSEUDONYM.fullmatch(image["subject_id"]) is None:
                self._settle(item, CopyOutcome("refused", "pseudonym_invalid"))
            elif self._is_there(item):
                self.counts["unchanged"] += 1
            else:
                waiting.append(item)
        return waiting

    def copy(self, waiting: list[CopyItem], workers: int) -> Iterable[None]:
        """Copy images in supervised processes; yield after each."""
        if not waiting:
            return
        for item, answer in map_supervised(
            partial(make_copy, settings=self._settings),
            waiting,
            workers=min(workers or os.cpu_count() or 1, len(waiting) // ITEMS_WORTH_A_WORKER + 1),
            timeout_s=COPY_TIMEOUT_S,
            memory_limit_bytes=COPY_MEMORY_BYTES,
        ):
            outcome = CopyOutcome("refused", answer.reason) if isinstance(answer, WorkerFailure) else answer
            if outcome.state == "stopped":
                raise _target_error(self._settings.folder, outcome.reason)
            self._settle(item, outcome)
            yield

    def keep_manifest(self) -> None:
        """Write what is known so far.

        Raises
        ------
        ExportError
            If the folder takes no file.
        """
        folder = self._settings.folder
        try:
            write_manifest(folder / MANIFEST, self._rows.values())
        except OSError as error:
            raise _target_error(folder, str(error.strerror or error)) from None

    def refusals(self) -> pl.DataFrame:
        """Return how many images were refused, by reason."""
        rows = sorted(self._reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        return pl.DataFrame(rows, {"reason": pl.String, "images": pl.Int64}, orient="row")

    def _item(self, image: Mapping[str, Any]) -> CopyItem:
        uid, instance = self._settings.replacements.uid, image["sop_instance_uid"]
        identity = Identity(
            subject_id=image["subject_id"] or "",
            study_uid=uid(image["study_instance_uid"] or f"study of {instance}"),
            series_uid=uid(image["series_instance_uid"] or f"series of {instance}"),
            instance_uid=uid(instance),
            age_years=image["age_years"],
        )
        where = image["path_bytes"], image["size_bytes"], image["modified_ns"]
        return CopyItem(identity, image["kind"], *where)

    def _is_there(self, item: CopyItem) -> bool:
        """Tell whether the manifest says that this copy was made, and it lies there in full size."""
        row = self._rows.get(item.identity.instance_uid)
        if row is None or row.state != "written" or row.made_from != self._made_from(item):
            return False
        try:
            return copy_path(self._settings.folder, item.identity).lstat().st_size == row.size_bytes
        except OSError:
            return False

    def _made_from(self, item: CopyItem) -> str:
        """Return a mark of all that a copy is made from: keyed, so that it gives nothing away."""
        s = self._settings
        return s.replacements.mark(
            item.path_bytes,
            item.size_bytes,
            item.modified_ns,
            item.identity,
            item.kind,
            s.dates,
            s.burned_in,
            s.table.version,
            s.rules.rules_id,
        )

    def _settle(self, item: CopyItem, outcome: CopyOutcome) -> None:
        refused = outcome.state == "refused"
        reason = outcome.reason if REASON.fullmatch(outcome.reason) else "decode_failed" if refused else ""
        self.counts[outcome.state] += 1
        if refused:
            self._reasons[reason] += 1
        identity = item.identity
        self._rows[identity.instance_uid] = ManifestRow(
            sop_instance_uid=identity.instance_uid,
            study_instance_uid=identity.study_uid,
            subject_id=identity.subject_id,
            kind=item.kind,
            state="refused" if refused else "written",
            reason=reason,
            eligible_as=outcome.kind,
            pixels=outcome.pixels,
            dates=self._settings.dates,
            size_bytes=outcome.size_bytes,
            sha256=outcome.sha256,
            made_from=self._made_from(item),
        )
