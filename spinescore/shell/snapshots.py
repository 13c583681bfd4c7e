"""``<database>.snapshot``: a copy to read from while another process holds the database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb

from spinescore.errors import DatabaseError, DatabaseLockedError
from spinescore.shell.warehouse import MEMORY_LIMIT, SCHEMA_VERSION, Warehouse, open_warehouse

SMALL_BYTES = 256 * 2**20  # copied in a second or three


@dataclass(frozen=True, slots=True)
class Reading:
    """A database opened to be read, and what must be said of it: empty unless it is a snapshot."""

    warehouse: Warehouse
    note: str


def snapshot_file(database: Path) -> Path:
    """Return where a database's snapshot is."""
    return database.with_name(f"{database.name}.snapshot")


def write_snapshot(
    warehouse: Warehouse, which: Literal["auto", "always", "never"], *, stale_only: bool = False
) -> None:
    """Copy the database for readers, or take an outdated copy away where none is wanted.

    ``stale_only``: not if the copy that is there is newer than the database.

    Raises
    ------
    DatabaseError
        If there is no room; the earlier snapshot stays.
    """
    target = snapshot_file(warehouse.path)
    warehouse.checkpoint()
    found = warehouse.path.stat()
    if which == "always" or (which == "auto" and found.st_size <= SMALL_BYTES):
        if not (stale_only and target.is_file() and target.stat().st_mtime_ns >= found.st_mtime_ns):
            warehouse.copy_to(target)
    else:
        target.unlink(missing_ok=True)


def open_to_read(database: Path, *, snapshot: bool = False) -> Reading:
    """Open a database; its snapshot if asked for, if another process holds it, or if it may only be read.

    Raises
    ------
    DatabaseLockedError
        If another process holds it and there is no snapshot.
    DatabaseError
        If what is opened is missing, or of another schema.
    """
    if snapshot:
        return _open_snapshot(database, "as asked for")
    if database.exists() and not os.access(database, os.W_OK) and snapshot_file(database).is_file():
        return _open_snapshot(database, "you may read the database, but not open it to write")
    try:
        return Reading(open_warehouse(database), "")
    except DatabaseLockedError as error:
        if not snapshot_file(database).is_file():
            raise
        return _open_snapshot(database, error.message)


def _open_snapshot(database: Path, why: str) -> Reading:
    path = snapshot_file(database)
    try:
        connection = duckdb.connect(str(path), read_only=True, config={"memory_limit": MEMORY_LIMIT})
        ((version,),) = connection.execute("select value from meta where key = 'schema_version'").fetchall()
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (duckdb.Error, OSError):
        raise DatabaseError(
            f"There is no snapshot to read at {path}.",
            "`spinescore run` makes one after each stage (docs/scheduling.md).",
        ) from None
    if int(version) != SCHEMA_VERSION:
        connection.close()
        raise DatabaseError(
            f"{path} has schema {version}; this spinescore reads {SCHEMA_VERSION}.",
            "The next run makes a new one.",
        )
    return Reading(
        Warehouse(connection, path),
        f"Read from the snapshot of {made:%Y-%m-%d %H:%M:%S} UTC: {why.rstrip('.')}.",
    )
