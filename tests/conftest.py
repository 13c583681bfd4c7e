"""Every test has a spinescore home of its own, so no key or cache of the user's is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a loaded machine is no reason to fail
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("SPINESCORE_DATABASE", raising=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "cohort.duckdb"
