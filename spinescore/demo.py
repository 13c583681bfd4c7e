"""A phantom cohort on disk, and the very run a user would do on it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from spinescore.core.phantom.followup import draw_follow_up
from spinescore.core.phantom.person import CohortName, Person, draw_people
from spinescore.domain import Kind, StageSummary
from spinescore.errors import SourceError
from spinescore.listener import Listener
from spinescore.run import RunSummary, run_study
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.phantom_files import PhantomImage, write_phantom
from spinescore.shell.resources import resource
from spinescore.shell.warehouse import open_warehouse
from spinescore.shell.workers import WorkerFailure, map_supervised
from spinescore.study import read_study

DEMO_SEED = 20251125  # declared with the study; not chosen for its result
FULL_SIZE_HEIGHT = 2840
FULL_SIZE_EVERY = 40
IMAGE_TIMEOUT_S = 120.0
NOTE = "Every image and number in this folder is made up by spinescore; nobody was ever X-rayed for it.\n"


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """What to make: where, how many subjects of each cohort, from which seed."""

    folder: Path
    n_derivation: int = 600
    n_vfa: int = 350
    seed: int = DEMO_SEED


@dataclass(frozen=True, slots=True)
class Headline:
    """The pre-declared primary hazard ratio beside its two truths."""

    result: dict[str, Any]
    truth: dict[str, Any]

    @property
    def interval_covers_limit(self) -> bool:
        """Whether the confidence interval holds the large-sample limit."""
        lower, upper = self.result["lower"], self.result["upper"]
        return bool(lower <= self.truth["large_sample_hazard_ratio"] <= upper)


def make_demo(request: DemoRequest, listener: Listener) -> RunSummary:
    """Make the phantom cohort in a folder and run its study.

    Raises
    ------
    SourceError
        If the folder holds something that is not a demo of ours.
    """
    study_file = make_cohort(request, listener)
    return run_study(read_study(study_file), listener)


def make_cohort(request: DemoRequest, listener: Listener) -> Path:
    """Write DICOM files, follow-up table and study file; return the study file's path."""
    _clear(request.folder)
    listener.stage("phantoms")
    cohorts: tuple[tuple[CohortName, Kind, int], ...] = (
        ("derivation", "radiograph", request.n_derivation),
        ("vfa", "vfa", request.n_vfa),
    )
    images: list[PhantomImage] = []
    tables = []
    for cohort, kind, n in cohorts:
        people = draw_people(n, seed=request.seed, cohort=cohort)
        folder = request.folder / "dicom" / kind
        folder.mkdir(parents=True)
        images += [_plan(person, kind, position, folder) for position, person in enumerate(people)]
        tables.append(draw_follow_up(people, seed=request.seed))
    pl.concat(tables).write_csv(request.folder / "follow-up.csv")
    (request.folder / "dicom" / "README.txt").write_text(NOTE, encoding="utf-8")
    _write_images(images, request.seed, listener.advance)
    study_file = request.folder / "study.toml"
    shutil.copyfile(resource("data", "demo-study.toml"), study_file)
    _keep_phantom_identifiers(study_file)
    counts = {"images": len(images)}
    listener.done(
        StageSummary("phantoms", True, f"{len(images):,} DICOM files, follow-up table, study file", counts)
    )
    return study_file


def read_headline(folder: Path) -> Headline:
    """Read the primary hazard ratio of the demo's last analysis and the truths it should be held against."""
    study = read_study(folder / "study.toml")
    with open_warehouse(study.study.database) as warehouse:
        rows = warehouse.fetch("report/primary")
    truth = json.loads(resource("data", "demo-truth.json").read_text(encoding="utf-8"))
    return Headline(rows.row(0, named=True), truth)


def _keep_phantom_identifiers(study_file: Path) -> None:
    """Fix the database to verbatim ids; pseudonyms under a new key would split every demo anew."""
    with open_warehouse(read_study(study_file).study.database, create=True) as warehouse:
        pseudonymiser(warehouse, keep_identifiers=True)


def _write_images(images: list[PhantomImage], seed: int, progress: Callable[[int, int], None]) -> None:
    workers = os.cpu_count() or 1
    for image, outcome in map_supervised(
        partial(write_phantom, seed=seed), images, workers=workers, timeout_s=IMAGE_TIMEOUT_S
    ):
        if isinstance(outcome, WorkerFailure):
            raise SourceError(f"{image.path.name} could not be made: {outcome.detail}", "Is the disk full?")
        progress(1, len(images))


def _plan(person: Person, kind: Kind, position: int, folder: Path) -> PhantomImage:
    full_size = kind == "radiograph" and position % FULL_SIZE_EVERY == 0
    height = FULL_SIZE_HEIGHT if full_size else None
    return PhantomImage(person, kind, height, folder / f"{person.subject_id}.dcm")


def _clear(folder: Path) -> None:
    """Empty an earlier demo's folder; refuse to touch any other that holds something."""
    if folder.exists() and any(folder.iterdir()):
        note = folder / "dicom" / "README.txt"
        if not (note.is_file() and note.read_text(encoding="utf-8", errors="replace") == NOTE):
            raise SourceError(
                f"{folder} holds something that is not a demo.", "Name an empty folder with --out."
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
