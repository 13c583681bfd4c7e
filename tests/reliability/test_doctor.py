"""`doctor` as a whole, on this machine, over a real database and the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

from spinescore.shell.warehouse import open_warehouse
from tests.reliability.conftest import Offline


def test_all_that_spinescore_needs_is_here(offline: Offline, database: Path) -> None:
    with open_warehouse(database, create=True):
        pass
    result = offline.start("doctor", "-d", str(database), "--json")
    spoken = json.loads(result.stdout)
    states = {finding["name"]: finding["state"] for finding in spoken["findings"]}
    machine = {"schedules", "memory", "open files", "file system"}  # a container's or a test machine's own
    assert {name for name, state in states.items() if state != "pass"} <= machine, spoken
    assert states["golden image"] == "pass"
    assert sum(finding["area"] == "decoders" for finding in spoken["findings"]) >= 17
    assert result.returncode == {"pass": 0, "warn": 3, "fail": 1}[spoken["state"]]
    assert offline.attempts == ""
