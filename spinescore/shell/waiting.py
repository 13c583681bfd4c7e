"""A database opened once whoever holds it lets it go."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from spinescore.errors import DatabaseLockedError
from spinescore.shell.warehouse import Warehouse, open_warehouse

SECONDS_BETWEEN_TRIES = 2.0


def open_when_free(
    path: Path,
    *,
    create: bool,
    wait_minutes: float,
    announce: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Warehouse:
    """Open a database, trying again while another process holds it.

    Raises
    ------
    DatabaseLockedError
        If it is still held after ``wait_minutes``.
    """
    until, told = clock() + 60 * wait_minutes, False
    while True:
        try:
            return open_warehouse(path, create=create)
        except DatabaseLockedError as error:
            left = until - clock()
            if left <= 0:
                raise
            if not told:
                announce(f"waiting up to {wait_minutes:g} min: {error.message}")
                told = True
            sleep(min(SECONDS_BETWEEN_TRIES, left))
