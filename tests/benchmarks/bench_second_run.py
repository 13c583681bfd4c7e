"""A second run that finds nothing new: 100,000 images indexed and scored, `spinescore score` as a process.

    python tests/benchmarks/bench_second_run.py [IMAGES]

The goal is two seconds from start to end. Beside it the floor, a process that only imports DuckDB and counts the scores.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.score import ScoreRequest, score
from spinescore.shell.bundles import demo_bundle_path, load_bundle
from spinescore.shell.warehouse import open_warehouse

REPEATS = 5
SEED = 3
TRULY_MADE = 10
UID = "sop_instance_uid || '.' || i as sop_instance_uid"
PATH = "path_bytes || ('.' || i)::blob as path_bytes"
MULTIPLIED = {"files": f"{UID}, {PATH}", "images": f"{UID}, {PATH}", "pixel_facts": UID, "scores": UID}
COUNT = "import duckdb; print(duckdb.connect({!r}).sql('select count(*) from scores').fetchall())"


def fill(database: Path, folder: Path, n: int) -> None:
    """Score a few phantoms, then write their rows again under other names until there are ``n``."""
    for number, person in enumerate(draw_people(TRULY_MADE, seed=SEED, cohort="derivation")):
        rendered = render(person, kind="radiograph", seed=SEED, height=300)
        dataset(rendered, person, seed=SEED).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([folder], workers=1))
        score(warehouse, ScoreRequest(load_bundle(demo_bundle_path()), device="cpu", workers=1))
    with duckdb.connect(str(database)) as connection:
        for table, renamed in MULTIPLIED.items():
            connection.execute(
                f"insert into {table} select * exclude i from (select * replace ({renamed}) from "
                f"(select * from {table} limit {TRULY_MADE}), range(1, {n // TRULY_MADE}) as copies (i))"
            )


def seconds(command: list[str], said: str) -> float:
    """Return the median of several runs of a process, which must end well and say what is expected."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        taken.append(time.perf_counter() - began)
        assert said in output.stdout + output.stderr, output
    return statistics.median(taken)


if __name__ == "__main__":
    n_images = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "bench.duckdb"
        (Path(place) / "images").mkdir()
        fill(path, Path(place) / "images", n_images)
        check = [sys.executable, "-m", "spinescore", "score", "--database", str(path), "--device", "cpu"]
        ours = seconds(check, f"nothing new to score ({n_images:,} scores")
        floor = seconds([sys.executable, "-c", COUNT.format(str(path))], str(n_images))
    print(
        f"{n_images:,} images, nothing new: {ours:.2f} s; importing DuckDB and counting alone {floor:.2f} s"
    )
