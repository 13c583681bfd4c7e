"""Every test has a spinescore home of its own, so no key or cache of the user's is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

PACKAGES = ("tests/unit/disclosure", "tests/unit/reporting")  # with fixtures for all their modules

settings.register_profile("untimed", deadline=None)  # a loaded machine is no reason to fail
settings.load_profile("untimed")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each take every core for a sum spin while they wait for one another: three times the work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one worker what shares something that is slow to make: a module, a package, the demo."""
    files = [item.nodeid.partition("::")[0] for item in items]
    of_demo = {
        file
        for file, item in zip(files, items, strict=True)
        if file.startswith("tests/reliability/") and "demo" in getattr(item, "fixturenames", ())
    }
    for file, item in zip(files, items, strict=True):
        package = next((name for name in PACKAGES if file.startswith(f"{name}/")), file)
        item.add_marker(pytest.mark.xdist_group("demo" if file in of_demo else package))


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("SPINESCORE_DATABASE", raising=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "cohort.duckdb"
