"""A disk that takes no more: said as such, nothing committed lost, and it goes on once there is room."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from spinescore.errors import StorageError, TableError
from spinescore.shell.storage import storage_error
from spinescore.shell.warehouse import open_warehouse

# Sets facts, each in a transaction of its own, until the file may grow no further.
FILL = """
import resource, sys
from pathlib import Path
from spinescore.shell.warehouse import open_warehouse
try:
    with open_warehouse(Path(sys.argv[1]), create=True) as warehouse:
        warehouse.checkpoint()
        room = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        for number in range(10_000):
            with warehouse.transaction():
                warehouse.set_meta(f"fact {number}", "x" * 400)
            print(number, flush=True)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "", "/a/report.html"), ("/a/report.html", "No space left", "Make room")),
        (OSError(errno.EDQUOT, "", "/a/b"), ("Disk quota exceeded", "Make room")),
        (OSError(errno.EROFS, "", "/a/b"), ("Read-only file system", "owns it")),
        (PermissionError(errno.EACCES, "", "/a/b"), ("Permission denied", "owns it")),
        (OSError("No space left on device (os error 28)"), ("A file: No space left", "Make room")),  # polars
        (OSError(errno.ESTALE, "", "/a/b"), ("Stale file handle", "network share")),
        (
            duckdb.TransactionException(
                'Failed to commit: Could not write file "/a/c.duckdb.wal": No space left on device'
            ),
            ("/a/c.duckdb.wal: No space left on device.", "Make room"),
        ),
    ],
)
def test_what_the_disk_said_is_said(error: Exception, words: tuple[str, ...]) -> None:
    found = storage_error(error)
    assert found is not None
    assert "What was committed is kept." in found.message
    for word in words:
        assert word in str(found)


def test_what_it_caused_is_recognised_and_what_is_understood_already_is_left() -> None:
    full = OSError(errno.ENOSPC, "", "/a/b")
    try:
        try:
            raise full
        except OSError as error:
            raise ValueError("could not save") from error
    except ValueError as error:
        caused = error
    assert storage_error(caused) is not None
    understood = TableError("f.csv cannot be read.")
    understood.__cause__ = full
    for other in (understood, ValueError("x"), FileNotFoundError(errno.ENOENT, ""), KeyboardInterrupt()):
        assert storage_error(other) is None


def test_a_disk_that_fills_between_commits_loses_none_of_them(database: Path) -> None:
    """The kernel refuses to let the log grow, within the first commits, and later."""
    for room in (20_000, 100_000):
        database.unlink(missing_ok=True)
        filled = subprocess.run(
            [sys.executable, "-c", FILL, str(database), str(room)], capture_output=True, text=True, check=True
        )
        *committed, said = filled.stdout.splitlines()
        assert said.startswith("StorageError")
        assert "File too large. What was committed is kept." in said
        with open_warehouse(database) as warehouse:
            facts = [key for key in warehouse.table("meta")["key"] if key.startswith("fact ")]
            warehouse.set_meta("fact after", "there is room again")
        assert len(facts) == len(committed) > 1
        with open_warehouse(database) as warehouse:
            assert warehouse.meta("fact after")


def test_a_full_disk_is_known_from_a_file_that_is_no_database(database: Path) -> None:
    with (
        pytest.raises(StorageError, match="No space left"),
        open_warehouse(database, create=True),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", str(database))
