"""A database looked at without a change: its schema, who holds it, and whose key its pseudonyms need."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from spinescore.core.diagnosis.finding import Finding, judge
from spinescore.errors import DatabaseLockedError
from spinescore.shell.identity import FINGERPRINT_KEY, MODE_KEY, key_file
from spinescore.shell.resources import sql
from spinescore.shell.warehouse import SCHEMA_VERSION, opening_error

NAME = "database"


def look_at_database(database: Path) -> Iterator[Finding]:
    """Open a database to read, unless another process has it, and say what it is."""
    if not database.is_file():
        yield judge(NAME, "file", f"none at {database}", warn="Make one with `spinescore ingest FOLDER`.")
        return
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            facts = dict(connection.execute(sql("doctor/meta")).fetchall())
            ((n_unfinished,),) = connection.execute(sql("doctor/unfinished")).fetchall()
    except duckdb.IOException as error:
        problem = opening_error(database, str(error))
        held = isinstance(problem, DatabaseLockedError)
        advice = {"warn": f"{problem.next_step} Its key and schema were not looked at."} if held else {}
        yield judge(NAME, "file", problem.message, **(advice or {"fail": problem.next_step}))
        return
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        yield judge(NAME, "file", f"cannot be read: {reason}", fail="Restore a backup (docs/operations.md).")
        return
    yield _judge_schema(facts)
    yield _judge_key(facts)
    yield judge(
        NAME,
        "runs",
        f"{n_unfinished} ended without an outcome: killed, or the machine stopped"
        if n_unfinished
        else "each came to an end",
    )


def _judge_schema(facts: dict[str, str]) -> Finding:
    version = int(facts.get("schema_version", 0))
    found = f"{version}, this spinescore's is {SCHEMA_VERSION}"
    newer = "It was written by a newer spinescore: upgrade this one."
    older = "The next command migrates it, after a copy beside it; `spinescore backup` first does no harm."
    return judge(
        NAME,
        "schema",
        found,
        fail=newer if version > SCHEMA_VERSION else "",
        warn=older if version < SCHEMA_VERSION else "",
    )


def _judge_key(facts: dict[str, str]) -> Finding:
    recorded = facts.get(FINGERPRINT_KEY)
    if recorded is None:
        kept = facts.get(MODE_KEY) == "verbatim"
        found = "none needed: patient ids are kept as they are" if kept else "none needed yet"
        return judge(NAME, "pseudonym key", found)
    path = key_file()
    advice = (
        f"Put the key of this database at {path}, or set SPINESCORE_HOME to its folder; never make another."
    )
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no key"
        return judge(NAME, "pseudonym key", f"{path} cannot be read: {reason}", fail=advice)
    fingerprint = hashlib.sha256(key).hexdigest()[:16]
    found = f"{fingerprint}, the database's is {recorded}"
    return judge(NAME, "pseudonym key", found, fail="" if fingerprint == recorded else advice)
