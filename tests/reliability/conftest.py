"""A small demo, made once and shared by the tests of whole runs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

# Loaded by every Python process of a run: any attempt to reach a network is written down and refused.
SITECUSTOMIZE = """
import os, socket, sys

def _watch(event, args):
    if event == "socket.connect" and args[0].family == socket.AF_UNIX:
        return
    if event in {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}:
        with open(os.environ["NETWORK_ATTEMPTS"], "a") as log:
            log.write(f"{event} {args!r}\\n")
        raise OSError(101, "the network is cut off")

sys.addaudithook(_watch)
"""


@dataclass(frozen=True)
class Offline:
    """Runs spinescore in a process of its own, with every attempt to reach a network refused."""

    folder: Path
    home: Path

    @property
    def attempts(self) -> str:
        log = self.folder / "attempts.log"
        return log.read_text() if log.exists() else ""

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        result = self.start(*arguments)
        assert result.returncode == status, (
            f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        )
        return result

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "NETWORK_ATTEMPTS": str(self.folder / "attempts.log"),
            "SPINESCORE_HOME": str(self.home),
            "PYTHONWARNINGS": "default",
        }
        return subprocess.run(
            [sys.executable, "-m", "spinescore", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=500,
            cwd=self.folder,
        )


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Offline:
    folder = tmp_path_factory.mktemp("offline")
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return Offline(folder, tmp_path_factory.mktemp("home"))


@dataclass(frozen=True)
class Demo:
    """A finished demo: where it is, what it printed, and the way to go on with it."""

    folder: Path
    printed: str
    offline: Offline

    @property
    def study(self) -> Path:
        return self.folder / "study.toml"


@pytest.fixture(scope="session")
def demo(offline: Offline) -> Demo:
    folder = offline.folder / "demo"
    sizes = ("--radiographs", "180", "--vfa", "120")
    result = offline.run("demo", "--out", str(folder), *sizes)
    return Demo(folder, result.stdout, offline)
