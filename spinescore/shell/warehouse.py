"""The DuckDB database: migrate, fetch, write. The only reader of sql/ and the only writer."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from spinescore import __version__
from spinescore.errors import DatabaseError, DatabaseLockedError
from spinescore.shell.database_copies import STORAGE_VERSION, copy_database
from spinescore.shell.resources import resource, sql
from spinescore.shell.run_status import describe_holder
from spinescore.shell.storage import storage_error

MEMORY_LIMIT = "4GB"
SCHEMA_VERSION = 11


@dataclass(slots=True)
class Run:
    """A run in progress: its number and what it counts."""

    run_id: int
    counts: dict[str, int] = field(default_factory=dict)
    outcome: str = "done"

    def add(self, **counts: int) -> None:
        """Count some more."""
        for name, n in counts.items():
            self.counts[name] = self.counts.get(name, 0) + n


class Warehouse:
    """One open database. Use as a context manager; closing checkpoints it, and gives ``umask`` back."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, *, umask: int | None = None
    ) -> None:
        self._connection, self._umask = connection, umask
        self.path = path
        self._rehearsing = False

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, _kind: object = None, error: BaseException | None = None, _where: object = None
    ) -> None:
        try:
            self._connection.close()
        except duckdb.Error as closing:
            if error is None:
                raise storage_error(closing) or closing from closing
        finally:
            if self._umask is not None:
                os.umask(self._umask)
        if error is not None and (known := storage_error(error)) is not None:
            raise known from error

    def fetch(self, name: str, **parameters: Any) -> pl.DataFrame:
        """Run the query ``sql/<name>.sql`` and return its rows.

        A parameter that is a frame is a table to the query, under its own name.
        """
        with self._registered(_frames(parameters)):
            return _rows(self._connection.sql(sql(name), params=_values(parameters)))

    def execute(self, name: str, **parameters: Any) -> None:
        """Run the statement ``sql/<name>.sql``; parameters are as in :meth:`fetch`."""
        with self._registered(_frames(parameters)):
            self._connection.execute(sql(name), _values(parameters))

    def append(self, table: str, rows: pl.DataFrame) -> None:
        """Append rows to a table by column name."""
        if rows.is_empty():
            return
        columns = ", ".join(f'"{name}"' for name in rows.columns)
        with self._registered({"incoming": rows}):
            self._connection.execute(f'insert into "{table}" ({columns}) select {columns} from incoming')

    def replace(self, table: str, rows: pl.DataFrame) -> None:
        """Make ``table`` hold exactly these rows and columns."""
        with self._registered({"incoming": rows}):
            self._connection.execute(f'create or replace table "{table}" as select * from incoming')

    def refill(self, table: str, rows: pl.DataFrame) -> None:
        """Make a table of the schema hold exactly these rows."""
        self._connection.execute(f'delete from "{table}"')
        self.append(table, rows)

    def delete(self, table: str, keys: pl.DataFrame) -> None:
        """Delete the rows of a table whose key columns are among ``keys``."""
        columns = ", ".join(f'"{name}"' for name in keys.columns)
        with self._registered({"incoming": keys}):
            self._connection.execute(
                f'delete from "{table}" where ({columns}) in (select ({columns}) from incoming)'
            )

    def copy_to(self, target: Path) -> int:
        """Write everything into a new file and return how many rows that were; see ``copy_database``."""
        return copy_database(self._connection, target)

    def checkpoint(self) -> None:
        """Bring what was committed from the log into the file."""
        self._connection.execute("checkpoint")

    def has_table(self, table: str) -> bool:
        """Tell whether a table exists."""
        found = self._connection.execute(
            "select table_name from duckdb_tables() where table_name = $table", {"table": table}
        )
        return bool(found.fetchall())

    def table(self, name: str) -> pl.DataFrame:
        """Return a whole table."""
        return _rows(self._connection.sql(f'select * from "{name}"'))

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Undo everything inside at the end, transactions that were committed included."""
        self._connection.begin()
        self._rehearsing = True
        try:
            yield
        finally:
            self._rehearsing = False
            self._connection.rollback()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside, or nothing."""
        if self._rehearsing:
            yield
            return
        self._connection.begin()
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    @contextmanager
    def run(
        self,
        command: str,
        arguments: Mapping[str, Any],
        *,
        model_id: str | None = None,
        input_sha256: str | None = None,
    ) -> Iterator[Run]:
        """Record a run around what is done inside; a killed run keeps a null outcome."""
        ((run_id,),) = self._connection.execute("select coalesce(max(run_id), 0) + 1 from runs").fetchall()
        run = Run(run_id=int(run_id))
        self.execute(
            "run/start",
            run_id=run.run_id,
            command=command,
            arguments=json.dumps(arguments, default=str, sort_keys=True),
            version=__version__,
            model_id=model_id,
            input_sha256=input_sha256,
            started_at=_now(),
        )
        try:
            yield run
        except BaseException:
            with suppress(duckdb.Error):  # what ended the run may be that nothing more can be written
                self._finish(run, "failed")
            raise
        self._finish(run, run.outcome)

    def last_run(self, command: str, input_sha256: str) -> int | None:
        """Return the last finished run of a command on the same input, if there is one."""
        rows = self.fetch("run/last", command=command, input_sha256=input_sha256)
        return None if rows.is_empty() else int(rows["run_id"][0])

    def meta(self, key: str) -> str | None:
        """Return a fact about the database, or None."""
        rows = self._connection.execute("select value from meta where key = $key", {"key": key}).fetchall()
        return str(rows[0][0]) if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Record a fact about the database."""
        self._connection.execute(
            "insert or replace into meta (key, value) values ($key, $value)", {"key": key, "value": value}
        )

    def _finish(self, run: Run, outcome: str) -> None:
        self.execute(
            "run/finish",
            run_id=run.run_id,
            ended_at=_now(),
            outcome=outcome,
            counts=json.dumps(run.counts, sort_keys=True),
        )

    @contextmanager
    def _registered(self, frames: Mapping[str, pl.DataFrame]) -> Iterator[None]:
        for name, rows in frames.items():
            self._connection.register(name, rows.to_arrow())
        yield
        for name in frames:  # not after an error: an aborted transaction takes no more statements
            self._connection.unregister(name)


def open_warehouse(path: Path, *, create: bool = False) -> Warehouse:
    """Open a database, migrate it forward, and return it.

    Parameters
    ----------
    path : Path
        The DuckDB file.
    create : bool
        Make it (mode 0600) if it is not there.

    Raises
    ------
    DatabaseError
        If it is missing, not DuckDB's, or written by a newer spinescore.
    DatabaseLockedError
        If another process holds it.
    """
    fresh = not path.exists()
    if fresh and not create:
        raise DatabaseError(
            f"No database at {path}.",
            "Make one with `spinescore ingest FOLDER` or `spinescore scores import TABLE`.",
        )
    if fresh:
        path.parent.mkdir(parents=True, exist_ok=True)
    previous_umask = os.umask(0o077)  # until it is closed: DuckDB makes the log beside it at any time
    try:
        connection = _connect(path, fresh)
        _migrate(connection, path)
    except BaseException:
        os.umask(previous_umask)
        raise
    return Warehouse(connection, path, umask=previous_umask)


def _connect(path: Path, fresh: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path), config=_settings(fresh))
    except duckdb.IOException as error:
        raise storage_error(error) or opening_error(path, str(error)) from None
    except duckdb.Error as error:
        raise DatabaseError(
            f"{path} cannot be opened as a database: {_first_line(error)}.", "Name another file."
        ) from None


def _frames(parameters: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    return {name: value for name, value in parameters.items() if isinstance(value, pl.DataFrame)}


def _values(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    values = {name: value for name, value in parameters.items() if not isinstance(value, pl.DataFrame)}
    return values or None


def _settings(fresh: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"memory_limit": MEMORY_LIMIT}
    if fresh:
        settings["storage_compatibility_version"] = STORAGE_VERSION
    return settings


def opening_error(path: Path, text: str) -> DatabaseError:
    """Return the error that a message of DuckDB at opening a file stands for."""
    if "lock" in text.lower():
        holder = re.search(r"PID (\d+)", text)
        by = f" by process {holder.group(1)}" if holder else " by another process"
        doing = describe_holder(path, int(holder.group(1))) if holder else ""
        return DatabaseLockedError(
            f"{path} is in use{by}{f' ({doing})' if doing else ''}.",
            "Wait until it has finished, then run again; `spinescore status` shows how far it is.",
        )
    return DatabaseError(f"{path} is not a spinescore database: {text.splitlines()[0]}", "Name another file.")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    tables = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if tables and "meta" not in tables:
        connection.close()
        raise DatabaseError(f"{path} is a DuckDB database, but not spinescore's.", "Name another file.")
    version = 0
    if tables:
        rows = connection.execute("select value from meta where key = 'schema_version'").fetchall()
        version = int(rows[0][0]) if rows else 0
    if version > SCHEMA_VERSION:
        connection.close()
        raise DatabaseError(
            f"{path} has schema {version}; this spinescore knows {SCHEMA_VERSION}.", "Upgrade spinescore."
        )
    if 0 < version < SCHEMA_VERSION:
        _keep(connection, path, version)
    for migration in sorted(resource("sql", "schema").glob("*.sql"))[version:]:
        number = int(migration.name.split("_")[0])
        try:
            connection.begin()
            connection.execute(migration.read_text(encoding="utf-8"))
            connection.execute(
                "insert or replace into meta values ('schema_version', $v)", {"v": str(number)}
            )
            connection.commit()
        except duckdb.CatalogException as error:
            connection.close()
            raise DatabaseError(
                f"{path} does not hold what its schema {version} should: {_first_line(error)}.",
                f"If it was put there from a copy, delete {path.name}.wal, which belongs to the database it "
                "replaced, and put the copy there again.",
            ) from None


def _keep(connection: duckdb.DuckDBPyConnection, path: Path, version: int) -> None:
    """Copy the database as it is before it is migrated, so that an older spinescore can go on with it."""
    kept = path.with_name(f"{path.stem}.schema-{version}{path.suffix}")
    try:
        copy_database(connection, kept)
    except DatabaseError as error:
        connection.close()
        raise DatabaseError(
            f"{path} is of schema {version} and is not migrated without a copy of it. {error.message}",
            f"Free {path.stat().st_size:,} bytes in {path.parent}, then try again.",
        ) from None


def _rows(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    frame: pl.DataFrame = relation.pl()
    return frame


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
