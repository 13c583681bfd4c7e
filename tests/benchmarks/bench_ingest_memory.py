"""Memory of indexing: peak resident size of the writing process while the archive grows tenfold and tenfold again.

    python tests/benchmarks/bench_ingest_memory.py [FILES ...]

Prints, for each size, the peak of the process that lists and writes, that of the largest worker, and files per
second; then the same for a second look in which nothing changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from archive_of_headers import make_archive

SIZES = (10_000, 100_000, 1_000_000)
LOOK = """
import multiprocessing, re, resource, sys, threading, time
from pathlib import Path
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.warehouse import open_warehouse

largest_worker = 0

def watch():  # the peak of a process since it was executed; getrusage counts its parent's size before that
    global largest_worker
    while True:
        for worker in multiprocessing.active_children():
            try:
                status = Path(f"/proc/{worker.pid}/status").read_text()
            except OSError:
                continue
            peak = re.search(r"VmHWM:\\s+(\\d+)", status)
            largest_worker = max(largest_worker, int(peak[1]) // 1024 if peak else 0)
        time.sleep(0.2)

if __name__ == "__main__":
    threading.Thread(target=watch, daemon=True).start()
    with open_warehouse(Path(sys.argv[2]), create=True) as warehouse:
        start = time.perf_counter()
        summary = ingest(warehouse, IngestRequest([Path(sys.argv[1])]))
        seconds = time.perf_counter() - start
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(own, largest_worker, round(summary.n_seen / seconds))
"""


def look(archive: Path, scratch: Path) -> tuple[str, ...]:
    """Run one ingest in a process of its own; return peak MiB, the largest worker's, files per second."""
    script = scratch / "look.py"
    script.write_text(LOOK)
    done = subprocess.run(
        [sys.executable, script, archive, scratch / "index.duckdb"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"SPINESCORE_HOME": str(scratch / "home")},
    )
    return tuple(done.stdout.split())


def main() -> None:
    """Index archives of growing size and print peaks."""
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    print(f"{'files':>10} {'look':>8} {'peak, MiB':>10} {'worker, MiB':>12} {'files/s':>9}")
    for n_files in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-memory-") as name:
            scratch = Path(name)
            make_archive(scratch / "archive", n_files)
            for which in ("first", "second"):
                own, children, rate = look(scratch / "archive", scratch)
                print(f"{n_files:>10,} {which:>8} {own:>10} {children:>12} {int(rate):>9,}", flush=True)


if __name__ == "__main__":
    main()
