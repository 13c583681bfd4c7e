"""Debian's own cron runs a study each minute while images come in; nothing watches it. Takes some minutes.

Needs root and cron (``apt-get install cron``); the crontab of the user is put back as it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spinescore.demo import DemoRequest, make_cohort
from spinescore.listener import Listener
from spinescore.schedule import ScheduleRequest, remove_schedule, schedule_study

MINUTES = 20  # cron's runs are nice and wait their turn on a busy machine
RUN = """
[run]
summary = "summary.json"
log = "events.jsonl"
"""
pytestmark = pytest.mark.skipif(
    shutil.which("cron") is None or os.getuid() != 0, reason="needs root and Debian's cron"
)


@pytest.fixture
def cron() -> Iterator[None]:
    """Have cron run, as the system's service or ours, and put the crontab back."""
    before = subprocess.run(["crontab", "-l"], capture_output=True, text=True)
    service = subprocess.run(["pidof", "cron"], capture_output=True).returncode == 0
    own = None if service else subprocess.Popen(["cron", "-f"])
    try:
        yield
    finally:
        if before.returncode:
            subprocess.run(["crontab", "-r"], check=False, capture_output=True)
        else:
            subprocess.run(["crontab", "-"], input=before.stdout, text=True, check=True)
        if own is not None:
            own.terminate()
            own.wait()


def wait_for_summary(folder: Path, n_images: int) -> dict[str, Any]:
    """Return the summary of the first run that finished with so many images."""
    until = time.monotonic() + 60 * MINUTES
    found: dict[str, Any] = {}
    while time.monotonic() < until:
        if (folder / "summary.json").is_file():
            found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            since = found.get("since_last_run")
            if since and since["images"]["now"] == n_images:
                return found
        time.sleep(1)
    raise AssertionError(f"no run with {n_images} images within {MINUTES} minutes; the last: {found}")


@pytest.mark.timeout(60 * (2 * MINUTES + 5))
def test_images_that_arrive_between_runs_are_in_the_next_one(tmp_path: Path, cron: None) -> None:
    folder = tmp_path / "a b 100%"
    study = make_cohort(DemoRequest(folder, n_derivation=100, n_vfa=120), Listener())
    study.write_text(study.read_text(encoding="utf-8") + RUN, encoding="utf-8")
    late = sorted((folder / "dicom" / "vfa").glob("*.dcm"))[-10:]
    (tmp_path / "late").mkdir()
    for path in late:
        shutil.move(path, tmp_path / "late" / path.name)
    scheduled = schedule_study(ScheduleRequest(study_file=study, calendar="* * * * *", backend="cron"))
    try:
        first = wait_for_summary(folder, 210)
        for path in (tmp_path / "late").iterdir():
            shutil.move(path, folder / "dicom" / "vfa" / path.name)
        second = wait_for_summary(folder, 220)
    finally:
        remove_schedule(scheduled.schedule_id)
    assert (first["exit_status"], second["exit_status"]) == (0, 0)
    assert second["since_last_run"]["scores"] == {"before": 210, "now": 220, "made": 10, "failed": 0}
    assert (folder / "report" / "report.pdf").is_file()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    ended = {event["exit_status"] for event in events if event["event"] == "end"}
    assert ended <= {0, 5}  # 5: a minute came round while the run before was at its report
