"""The whole demo under strace: no process of it, Python's or a library's in C, speaks to another machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NETWORK = re.compile(r"(connect|sendto|sendmsg|sendmmsg)\(.*AF_INET6?")
SEEN = "connect,sendto,sendmsg,sendmmsg"
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="apt-get install strace")


def watch(folder: Path, *command: str) -> tuple[int, list[str]]:
    """Run a command with all its children watched; return its status and what was sent to a network."""
    log = folder / "calls.log"
    watched = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={SEEN}", "-o", str(log), *command]
    environment = os.environ | {"SPINESCORE_HOME": str(folder / "home")}
    ended = subprocess.run(watched, env=environment, capture_output=True, text=True, cwd=folder)
    assert "Operation not permitted" not in ended.stderr
    return ended.returncode, [line for line in log.read_text().splitlines() if NETWORK.search(line)]


@needs_strace
def test_an_attempt_would_be_seen(tmp_path: Path) -> None:
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    _, calls = watch(tmp_path, sys.executable, "-c", code)
    assert len(calls) == 1


@needs_strace
@pytest.mark.timeout(0)
def test_the_demo_and_the_doctor_reach_for_no_network(tmp_path: Path) -> None:
    spinescore = (sys.executable, "-m", "spinescore")
    status, calls = watch(
        tmp_path, *spinescore, "demo", "--out", "demo", "--radiographs", "180", "--vfa", "120"
    )
    assert (status, calls) == (0, [])
    status, calls = watch(tmp_path, *spinescore, "doctor", "-d", "demo/cohort.duckdb")
    assert status in (0, 3)
    assert calls == []
