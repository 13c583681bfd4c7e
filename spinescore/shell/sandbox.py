"""Conditions of a study file, run where they can read nothing but the rows they are about."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import duckdb
import polars as pl

from spinescore.errors import DatabaseError
from spinescore.study.problems import nearest

TABLE, ROW = "subject_images", "row_of_the_sandbox"
# What a condition may need beside the copy of its rows.
WORKING_MEMORY_BYTES = 1 << 29
COPY_FACTOR = 3
TIME_LIMIT_S = 120.0
LOCKS = (
    "set enable_external_access = false",
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set lock_configuration = true",
)
# They make values of any size from small ones, outside the reach of the memory limit.
GROWING = frozenset(
    {"repeat", "range", "generate_series", "lpad", "rpad", "list_resize", "array_resize", "bar"}
)
UNKNOWN_COLUMN = re.compile(r'Referenced column "(?P<name>[^"]+)" not found')
NODE_NAMES = {
    "TABLE_FUNCTION": "a function in place of a table",
    "RECURSIVE_CTE_NODE": "a recursive query",
    "VALUE_PARAMETER": "a parameter",
}


class Sandbox:
    """An in-memory database that holds a copy of some rows and can reach nothing else.

    External access, extension loading and Python replacement scans are off, nothing spills to disk, memory
    and time are limited, and the configuration is locked. A condition is parsed before it runs: it is one
    expression over the rows' columns, its subqueries read these rows alone.

    Parameters
    ----------
    rows : polars.DataFrame
        What conditions are about.
    time_limit_s : float
        How long one condition may take.
    """

    def __init__(self, rows: pl.DataFrame, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._rows, self._time_limit_s = rows, time_limit_s
        memory = WORKING_MEMORY_BYTES + COPY_FACTOR * int(rows.estimated_size())
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "python_enable_replacements": False,
                "memory_limit": f"{memory}B",
                "temp_directory": "",
            },
        )
        self._connection.register("incoming", rows.with_row_index(ROW).to_arrow())
        self._connection.execute(f"create table {TABLE} as select * from incoming")
        self._connection.unregister("incoming")
        for lock in LOCKS:
            self._connection.execute(lock)

    def select(self, where: str, *, named: str) -> pl.DataFrame:
        """Return the rows that satisfy a condition, in their order.

        Raises
        ------
        DatabaseError
            As :meth:`judge`.
        """
        return self._rows.filter(self.judge(where, named=named))

    def judge(self, where: str, *, named: str) -> pl.Series:
        """Return whether each row satisfies a condition; null where missing values leave it open.

        Parameters
        ----------
        where : str
            The condition.
        named : str
            The study file's key, for messages.

        Raises
        ------
        DatabaseError
            If the text is not one condition over the rows' columns, or takes too much time or memory.
        """
        try:
            self._refuse_what_is_no_condition(where, named)
            holds = self._places(f"select {ROW} from {TABLE} where (\n{where}\n)")
            open_ = self._places(f"select {ROW} from {TABLE} where (\n{where}\n) is null")
        except duckdb.Error as error:
            raise self._explained(error, where, named) from None
        answer = pl.DataFrame({ROW: pl.int_range(self._rows.height, dtype=pl.UInt32, eager=True)})
        return answer.select(
            pl.when(pl.col(ROW).is_in(holds.implode()))
            .then(True)
            .when(~pl.col(ROW).is_in(open_.implode()))
            .then(False)
        ).to_series()

    def _places(self, query: str) -> pl.Series:
        timer = threading.Timer(self._time_limit_s, self._connection.interrupt)
        timer.start()
        try:
            places: pl.DataFrame = self._connection.sql(query).pl()
        finally:
            timer.cancel()
        return places[ROW]

    def _refuse_what_is_no_condition(self, where: str, named: str) -> None:
        statements = self._connection.extract_statements(f"select * from {TABLE} where (\n{where}\n)")
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DatabaseError(f"{named}: `{where}` is not one condition.", "Write one SQL condition.")
        query = f"select (\n{where}\n)"
        ((tree,),) = self._connection.execute("select json_serialize_sql($q)", {"q": query}).fetchall()
        parsed = json.loads(tree)
        if parsed["error"]:
            raise duckdb.ParserException(parsed["error_message"])
        found = sorted(set(_forbidden(parsed["statements"][0]["node"])))
        if found:
            raise DatabaseError(
                f"{named}: `{where}` uses {', '.join(found)}, which a condition cannot.",
                f"It can read the columns of the images and subjects alone. {self._columns()}",
            )

    def _explained(self, error: duckdb.Error, where: str, named: str) -> DatabaseError:
        if isinstance(error, duckdb.InterruptException):
            limit = f"{self._time_limit_s:g} seconds"
            return DatabaseError(f"{named}: `{where}` took more than {limit}.", "Write a simpler condition.")
        if isinstance(error, duckdb.OutOfMemoryException):
            return DatabaseError(f"{named}: `{where}` needs too much memory.", "Write a simpler condition.")
        reason = str(error).splitlines()[0].rstrip(".!")
        unknown = UNKNOWN_COLUMN.search(reason)
        near = nearest(unknown["name"], self._rows.columns) if unknown else None
        meant = f"Did you mean `{near}`? " if near else ""
        return DatabaseError(
            f"{named}: `{where}` is not a condition over the images and subjects: {reason}.",
            f"{meant}{self._columns()}",
        )

    def _columns(self) -> str:
        return f"The columns are {', '.join(self._rows.columns)}."


def _forbidden(node: Any) -> Iterator[str]:
    """Yield what a parsed condition uses that it cannot."""
    if isinstance(node, list):
        for part in node:
            yield from _forbidden(part)
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    if kind in NODE_NAMES:
        yield NODE_NAMES[kind]
    if kind == "BASE_TABLE":
        path = [node.get("catalog_name"), node.get("schema_name"), node.get("table_name")]
        if [str(part or "").lower() for part in path] != ["", "", TABLE]:
            yield f"the table `{'.'.join(part for part in path if part)}`"
    if str(node.get("function_name") or "").lower() in GROWING:
        yield f"the function {node['function_name']}"
    for part in node.values():
        yield from _forbidden(part)
