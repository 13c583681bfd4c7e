"""A module of ours as a process of its own beside this one: some libraries hold Python's lock for seconds."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from types import TracebackType


class SideProcess:
    """``python -m MODULE ARGUMENTS...``; as a context manager it is stopped where the block raises."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def __enter__(self) -> SideProcess:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):  # what was told last may have met a closed end
                if pipe is not None:
                    pipe.close()
        self._process.wait()

    def tell(self, line: str) -> None:
        """Hand it a line; one that has ended hears nothing, and ``finish`` says why."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def hear(self) -> str:
        """Wait for a line that it says; empty if it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def finish(self) -> str | None:
        """Wait for its end; return why it failed, the last line that it said, or None."""
        _, said = self._process.communicate()
        if self._process.returncode == 0:
            return None
        lines = said.strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"
