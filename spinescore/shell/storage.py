"""What a disk that takes no more looks like, from whichever library met it."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from spinescore.errors import SpineScoreError, StorageError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ACCESS = (errno.EROFS, errno.EACCES, errno.EPERM)
BROKEN = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN)
NAMED_FILE = re.compile(r'file "([^"\n]+)"')
NEXT_STEPS = (
    (NO_ROOM, "Make room there; then the same command goes on."),
    (NO_ACCESS, "See who owns it and that it can be written; then the same command goes on."),
    (BROKEN, "See that the disk or network share is sound; then the same command goes on."),
)


def storage_error(error: BaseException) -> StorageError | None:
    """Return what a failed write or read of a disk is to its user; None if the error is another.

    Parameters
    ----------
    error : BaseException
        ``OSError``, or DuckDB's own error that quotes one, or what either of them caused.
    """
    if isinstance(error, SpineScoreError) or not isinstance(error, Exception):
        return None
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        if found := _of_system(each) or _of_duckdb(each):
            return found
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return None


def _of_system(error: BaseException) -> StorageError | None:
    if not isinstance(error, OSError):
        return None
    where = error.filename2 or error.filename
    named = os.fsdecode(where) if isinstance(where, str | bytes | Path) else "A file"
    if error.errno is None:  # polars raises it with a text alone
        return _quoted(str(error), named)
    return _explained(error.errno, named)


def _of_duckdb(error: BaseException) -> StorageError | None:
    if not type(error).__module__.endswith("duckdb"):
        return None
    text = str(error)
    named = NAMED_FILE.search(text)
    return _quoted(text, named[1] if named else "The database")


def _quoted(text: str, where: str) -> StorageError | None:
    """Find the system's own words in another library's."""
    for numbers, _ in NEXT_STEPS:
        for number in numbers:
            if os.strerror(number) in text:
                return _explained(number, where)
    return None


def _explained(number: int, where: str) -> StorageError | None:
    for numbers, next_step in NEXT_STEPS:
        if number in numbers:
            return StorageError(f"{where}: {os.strerror(number)}. What was committed is kept.", next_step)
    return None
