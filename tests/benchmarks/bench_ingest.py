"""Indexing headers: ours, the plain pydicom loop, and the floor of opening a file and reading 8 KB; files per second.

    python tests/benchmarks/bench_ingest.py [FILES]

The archive is synthetic: 93 % CT and MR, 5 % lateral spines, 2 % not DICOM, half a megabyte each (a hole where the
pixels would be). Ours is the whole of ``ingest``: walking, reading, deciding, and rows in DuckDB, worker start-up
included. "One core" pins every process of it to one core. Cold means that the kernel's caches were dropped before,
where that is allowed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import pydicom
from archive_of_headers import make_archive

from spinescore.core.imaging.element_walker import NUMBER_TAGS, TEXT_TAGS

N_FILES = 60_000
N_SAMPLE = 5_000
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
KEYWORDS = (*TEXT_TAGS.values(), *NUMBER_TAGS.values())
INGEST = """
import sys, time
from pathlib import Path
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.warehouse import open_warehouse
if __name__ == "__main__":
    folder, database, workers = sys.argv[1:]
    with open_warehouse(Path(database), create=True) as warehouse:
        start = time.perf_counter()
        summary = ingest(warehouse, IngestRequest([Path(folder)], workers=int(workers)))
        print(time.perf_counter() - start, summary.n_read)
"""


def floor(paths: Iterable[str]) -> None:
    """Open every file and read 8 KB."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.read(descriptor, 8192)
        os.close(descriptor)


def plain_pydicom(paths: Iterable[str]) -> None:
    """Read every header with pydicom, stopping before the pixels, and take the values an index needs."""
    for path in paths:
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue
        for keyword in KEYWORDS:
            dataset.get(keyword)


def timed(loop: Callable[[Iterable[str]], None], paths: list[str]) -> float:
    """Return files per second on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    start = time.perf_counter()
    loop(paths)
    rate = len(paths) / (time.perf_counter() - start)
    os.sched_setaffinity(0, before)
    return rate


def ours(folder: Path, scratch: Path, *, cores: set[int]) -> float:
    """Return files per second of ``ingest`` in a process of its own on these cores, a worker for each."""
    database = scratch / f"{time.monotonic_ns()}.duckdb"
    script = scratch / "run_ingest.py"
    script.write_text(INGEST)
    done = subprocess.run(
        [sys.executable, script, folder, database, str(len(cores))],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"SPINESCORE_HOME": str(scratch / "home")},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    seconds, n_read = done.stdout.split()
    return int(n_read) / float(seconds)


def drop_caches() -> bool:
    """Empty the kernel's caches; tell whether that was allowed."""
    try:
        os.sync()
        DROP_CACHES.write_text("3")
    except OSError:
        return False
    return True


def main() -> None:
    """Make the archive, time everything on it in one run, and print rates and ratios."""
    warnings.simplefilter("ignore")
    n_files = int(sys.argv[1]) if len(sys.argv) > 1 else N_FILES
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        scratch = Path(name)
        make_archive(scratch / "archive", n_files)
        paths = [str(path) for path in sorted((scratch / "archive").rglob("IM*"))]
        sample = paths[:: max(1, len(paths) // N_SAMPLE)]
        floor(paths)
        one = {cores[0]}
        rates = {
            "floor: open + read 8 KB": timed(floor, paths),
            "plain pydicom loop": timed(plain_pydicom, sample),
            "ours, one core": ours(scratch / "archive", scratch, cores=one),
            "floor again": timed(floor, paths),
            "ours, one core again": ours(scratch / "archive", scratch, cores=one),
        }
        if len(cores) > 1:
            rates["ours, two cores"] = ours(scratch / "archive", scratch, cores=set(cores[:2]))
        if drop_caches():
            rates["ours, one core, cold"] = ours(scratch / "archive", scratch, cores=one)
    print(f"{n_files:,} files; files per second")
    base = rates["plain pydicom loop"]
    for what, rate in rates.items():
        print(f"  {what:<26} {rate:>10,.0f}   {rate / base:>6.1f} x pydicom")
    if "ours, one core, cold" not in rates:
        print("  cold: not measured (the kernel's caches cannot be dropped here)")


if __name__ == "__main__":
    main()
