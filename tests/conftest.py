"""Every test has a spinescore home of its own, so no key or cache of the user's is touched."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings

DEMO_FIXTURE = re.compile(r"\bdemo: Demo\b")
PACKAGES = ("tests/unit/disclosure", "tests/unit/reporting")  # with fixtures for all their modules

settings.register_profile("untimed", deadline=None)  # a loaded machine is no reason to fail
settings.load_profile("untimed")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each take every core for a sum spin while they wait for one another: three times the work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _scope_of(file: str) -> str:
    """Return what a test file shares something slow with: its package, the demo, or nothing."""
    path = Path(__file__).parents[1] / file
    if file.startswith("tests/reliability/") and DEMO_FIXTURE.search(path.read_text(encoding="utf-8")):
        return "demo"
    return next((package for package in PACKAGES if file.startswith(f"{package}/")), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep on one worker what shares something that is slow to make: a module, a package, the demo.

    xdist's own groups (``--dist loadgroup``, 3.8) are lost on pytest 9.2, which no longer lets it rename tests.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByWhatIsShared(LoadScopeScheduling):
        scopes: ClassVar[dict[str, str]] = {}

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file not in self.scopes:
                self.scopes[file] = _scope_of(file)
            return self.scopes[file]

    return ByWhatIsShared(config, log)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("SPINESCORE_DATABASE", raising=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "cohort.duckdb"
