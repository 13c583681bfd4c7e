"""Train until a step, then die as if by the kernel: python killed_training.py FOLDER STEP."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from spinescore.train import train
from tests.unit.network.training_case import make_request


def kill_at(step: int) -> None:
    """Train the small case; SIGKILL this process after so many steps."""
    done = iter(range(step - 1))

    def advance(*_: int) -> None:
        if next(done, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    train(make_request(Path(sys.argv[1])), advance=advance)


if __name__ == "__main__":
    kill_at(int(sys.argv[2]))
