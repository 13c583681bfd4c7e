"""How much memory a piece of work takes on top of what the process held before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Growth:
    """Peak resident memory above what was resident at the start, in bytes; set when the work ends."""

    n_bytes: int = 0


@contextmanager
def memory_growth() -> Iterator[Growth]:
    """Measure the work of a ``with`` block; the process's history before it does not count."""
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's peak counts from here
    before = _status_bytes("VmRSS")
    growth = Growth()
    yield growth
    growth.n_bytes = max(_status_bytes("VmHWM") - before, 0)


def _status_bytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, name
    return int(found[1]) << 10
