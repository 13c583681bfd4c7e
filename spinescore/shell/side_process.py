"""A module of ours as a process of its own beside this one: some libraries hold Python's lock for seconds."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType


class SideProcess:
    """``python -m MODULE ARGUMENTS...``; as a context manager it is stopped where the block raises."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def __enter__(self) -> SideProcess:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def finish(self) -> str | None:
        """Wait for its end; return why it failed, the last line that it said, or None."""
        _, said = self._process.communicate()
        if self._process.returncode == 0:
            return None
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"
