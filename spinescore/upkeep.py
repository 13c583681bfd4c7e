"""backup and vacuum: a copy of a database to keep, and the room of deleted rows given back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinescore.errors import DatabaseError
from spinescore.shell.identity import key_file
from spinescore.shell.warehouse import open_warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was written: where, rows, and bytes before and after."""

    path: Path
    n_rows: int
    bytes_before: int
    bytes_after: int
    key: Path


def back_up(database: Path, target: Path, *, replace: bool = False) -> Copied:
    """Write a copy of a database that is no other process's, whole and checked, to be opened as it is.

    Raises
    ------
    DatabaseError
        If the target is there (and ``replace`` is not given), is the database itself, or cannot be written.
    DatabaseLockedError
        If another process holds the database.
    """
    if target.is_dir():
        target = target / database.name
    if target.exists() and (target.samefile(database) or not replace):
        which = "is the database itself" if target.samefile(database) else "is there already"
        raise DatabaseError(f"{target} {which}.", "Name another file, or give --replace.")
    if not target.parent.is_dir():
        raise DatabaseError(f"There is no folder {target.parent}.", "Make it first.")
    with open_warehouse(database) as warehouse:
        n_rows = warehouse.copy_to(target)
    return Copied(
        path=target,
        n_rows=n_rows,
        bytes_before=database.stat().st_size,
        bytes_after=target.stat().st_size,
        key=key_file(),
    )


def vacuum(database: Path) -> Copied:
    """Write a database anew without the room of deleted rows, and put it in the place of the old one.

    Raises
    ------
    DatabaseError
        If there is no room for a second copy; the database stays as it was.
    DatabaseLockedError
        If another process holds the database.
    """
    before = database.stat().st_size if database.is_file() else 0
    mode = database.stat().st_mode & 0o777 if database.is_file() else 0o600
    with open_warehouse(database) as warehouse:
        fresh = database.with_name(f".{database.name}.vacuumed")
        n_rows = warehouse.copy_to(fresh)
        fresh.chmod(mode)
        fresh.replace(database)
    return Copied(
        path=database, n_rows=n_rows, bytes_before=before, bytes_after=database.stat().st_size, key=key_file()
    )
