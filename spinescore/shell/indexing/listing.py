"""Sources -> the candidates that are new or changed, and the known paths that are gone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import polars as pl

from spinescore.core.eligibility.rule_set import FIELDS, RuleSet
from spinescore.errors import DecodingError
from spinescore.shell.archive.archives import find_members, is_archive
from spinescore.shell.archive.locations import SEPARATOR, Candidate, Refusal
from spinescore.shell.archive.sources import find_candidates, find_listed, find_root
from spinescore.shell.indexing.remembered_rules import LIMITS_KEY, RULES_KEY
from spinescore.shell.indexing.spool import Spool
from spinescore.shell.warehouse import Warehouse

LISTED_AT_ONCE = 20_000
CHUNK_FILES = 256
NOT_LISTED = ("permission", "path_too_long")  # what lies below such a folder is not gone
Chunk = tuple[int, tuple[Candidate, ...]]  # its number, and what is in it


class Listing:
    """What one look at the sources found.

    Memory does not grow with the archive but for eight bytes per known path: what is to be read
    waits in a spool.

    Attributes
    ----------
    chunks : Spool of Chunk
        What is new or changed, in a stable order.
    n_seen, n_pending : int
        Paths and members seen; those of them that are to be read.
    is_first : bool
        Whether the database held no file before.
    """

    def __init__(self, warehouse: Warehouse, sources: Sequence[Path], listed: Iterable[bytes] | None) -> None:
        self.chunks: Spool[Chunk] = Spool()
        self.n_seen = self.n_pending = 0
        self._warehouse = warehouse
        self._sources, self._listed = sources, listed
        self.is_first = warehouse.fetch("ingest/file_count").item() == 0
        self._chunk: list[Candidate] = []
        self._seen_rows: list[np.ndarray] = []
        self._kept_archives: list[bytes] = []
        self._unlisted: list[bytes] = []
        self._offered: set[int] | None = set() if listed is not None else None

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self.chunks.__exit__()

    def look(self, rules: RuleSet) -> None:
        """Walk the sources; afterwards ``chunks`` holds what is new, changed, or decided anew by the rules.

        Raises
        ------
        SourceError
            If a source does not exist.
        """
        stale = self._stale_inputs(rules)
        candidates = find_candidates(self._sources)
        if self._listed is not None:
            candidates = chain(candidates, find_listed(self._listed, os.fsencode(Path.cwd())))
        self._sift(candidates, stale)
        self._close_chunk()

    def gone(self) -> pl.DataFrame:
        """Return the known paths below the sources that were not seen: ``path_bytes, sop_instance_uid``."""
        if self.is_first:
            return pl.DataFrame(schema={"path_bytes": pl.Binary, "sop_instance_uid": pl.String})
        seen = np.concatenate(self._seen_rows) if self._seen_rows else np.empty(0, np.int64)
        return self._warehouse.fetch(
            "ingest/gone",
            incoming=pl.DataFrame({"file_row": seen}, schema={"file_row": pl.Int64}),
            kept_archives=pl.DataFrame({"path_bytes": self._kept_archives}, schema={"path_bytes": pl.Binary}),
            roots=_ranges(find_root(os.fsencode(source)) for source in self._sources),
            unlisted=_ranges(self._unlisted),
        )

    def _sift(self, candidates: Iterable[Candidate], stale: pl.DataFrame) -> None:
        """Keep what is to be read, look into archives, and remember which known paths were seen."""
        iterator = iter(candidates)
        while batch := list(islice(iterator, LISTED_AT_ONCE)):
            self.n_seen += len(batch)
            unchanged = self._unchanged(batch, stale)
            for number, candidate in enumerate(batch):
                if candidate.refusal and candidate.refusal[1] in NOT_LISTED:
                    self._unlisted.append(candidate.path_bytes)
                archive = candidate.refusal is None and is_archive(candidate)
                if number in unchanged:
                    if archive:
                        self._kept_archives.append(candidate.path_bytes)
                elif archive:
                    self._open_archive(candidate, stale)
                else:
                    self._take(candidate)

    def _open_archive(self, archive: Candidate, stale: pl.DataFrame) -> None:
        """Sift an archive's members, those before a damage too; then record what the archive came to."""
        before = self.n_seen
        damage: list[Refusal] = []
        self._sift(_members_until_damage(archive, damage), stale)
        outcome = damage[0] if damage else ("excluded", "archive", f"{self.n_seen - before} members")
        self._take(Candidate(archive.path_bytes, archive.size_bytes, archive.modified_ns, outcome))

    def _unchanged(self, batch: Sequence[Candidate], stale: pl.DataFrame) -> frozenset[int]:
        """Return the numbers of the candidates that are in the database as they are now."""
        if self.is_first:
            return frozenset()
        incoming = pl.DataFrame(
            {
                "number": range(len(batch)),
                "path_bytes": [candidate.path_bytes for candidate in batch],
                "size_bytes": [candidate.size_bytes for candidate in batch],
                "modified_ns": [candidate.modified_ns for candidate in batch],
            },
            schema={
                "number": pl.Int64,
                "path_bytes": pl.Binary,
                "size_bytes": pl.Int64,
                "modified_ns": pl.Int64,
            },
        )
        known = self._warehouse.fetch("ingest/known_files", incoming=incoming, stale_inputs=stale)
        self._seen_rows.append(known["file_row"].to_numpy())
        return frozenset(known.filter("unchanged")["number"].to_list())

    def _take(self, candidate: Candidate) -> None:
        if self._offered is not None:  # a list may name a path twice, or what a folder holds
            key = hash(candidate.path_bytes)
            if key in self._offered:
                return
            self._offered.add(key)
        self.n_pending += 1
        self._chunk.append(candidate)
        if len(self._chunk) >= CHUNK_FILES:
            self._close_chunk()

    def _close_chunk(self) -> None:
        if self._chunk:
            self.chunks.append((self.chunks.n_values, tuple(self._chunk)))
            self._chunk = []

    def _stale_inputs(self, rules: RuleSet) -> pl.DataFrame:
        """Return the rule inputs on which these rules decide otherwise than the database says."""
        schema = {"input_id": pl.Int64}
        if self.is_first or self._warehouse.meta(RULES_KEY) == rules.rules_id:
            return pl.DataFrame(schema=schema)
        limits_changed = self._warehouse.meta(LIMITS_KEY) != repr(rules.limits)
        stale = []
        decided = self._warehouse.fetch("ingest/decided_inputs")
        for row in decided.join(self._warehouse.table("rule_inputs"), on="input_id").iter_rows(named=True):
            decision = rules.decide({name: row[name] for name in FIELDS})
            was_let_in = row["state"] != "excluded"
            differs = decision.rule != row["rule"] or (decision.kind is not None) != was_let_in
            renamed = not was_let_in and decision.reason != row["reason"]
            other_kind = row["kind"] is not None and decision.kind != row["kind"]
            if differs or renamed or other_kind or (limits_changed and decision.kind is not None):
                stale.append(row["input_id"])
        return pl.DataFrame({"input_id": stale}, schema=schema)


def _members_until_damage(archive: Candidate, damage: list[Refusal]) -> Iterator[Candidate]:
    try:
        yield from find_members(archive)
    except DecodingError as error:
        damage.append(("rejected", error.reason, error.message))
    except OSError as error:
        damage.append(("rejected", "unreadable", error.strerror or str(error)))


def _ranges(places: Iterable[bytes]) -> pl.DataFrame:
    """Return the ranges of paths that are these places, below them, or within them as archives."""
    rows: list[tuple[bytes, bytes]] = []
    for place in places:
        folder = place.rstrip(b"/") + b"/"
        rows += [
            (place, place + SEPARATOR),
            (place + SEPARATOR, place + b"\1"),
            (folder, folder[:-1] + b"0"),  # "0" comes after "/"
        ]
    return pl.DataFrame(rows, schema={"lower": pl.Binary, "upper": pl.Binary}, orient="row")
