"""Whole copies of a database: for backups, before migrations, and to give back the room of deleted rows."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from spinescore.errors import DatabaseError

STORAGE_VERSION = "v1.2.0"  # the default of DuckDB 2 cannot be opened by older readers
TABLES = "select table_name from duckdb_tables() where database_name = $name order by table_name"


def copy_database(connection: duckdb.DuckDBPyConnection, target: Path) -> int:
    """Write everything a connection's database holds into a new file, readable by its owner alone.

    The copy is one state of the database, holds nothing of deleted rows, is counted table by table before it
    gets its name, and needs no log beside it. The connection must not be within a transaction.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    target : Path
        Replaced if it is there.

    Returns
    -------
    int
        Rows copied.

    Raises
    ------
    DatabaseError
        If the copy cannot be written; an earlier file of that name stays as it was.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    previous_umask = os.umask(0o077)
    try:
        n_rows = _write(connection, unfinished)
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())
        unfinished.replace(target)
    except (duckdb.Error, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DatabaseError(
            f"{target} cannot be written: {reason}.", "Free some room, or name another file."
        ) from None
    finally:
        os.umask(previous_umask)
        for left in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
            left.unlink(missing_ok=True)
    return n_rows


def _write(connection: duckdb.DuckDBPyConnection, file: Path) -> int:
    ((name,),) = connection.execute("select current_database()").fetchall()
    place = str(file).replace("'", "''")
    connection.execute(f"attach '{place}' as written (storage_version '{STORAGE_VERSION}')")
    try:
        connection.execute(f"copy from database {_quoted(name)} to written")
        counted = [_count_rows(connection, database) for database in (name, "written")]
    finally:
        connection.execute("detach written")
    if counted[0] != counted[1]:
        raise OSError("the copy does not hold what the database holds")
    return sum(counted[0].values())


def _count_rows(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, int]:
    tables = [row[0] for row in connection.execute(TABLES, {"name": database}).fetchall()]
    counts = {}
    for table in tables:
        ((n,),) = connection.execute(f"select count(*) from {_quoted(database)}.{_quoted(table)}").fetchall()
        counts[table] = int(n)
    return counts


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
