"""Programs that a run starts when it has ended: no shell, no patient data, a time limit."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from spinescore.errors import StudyError


def run_command(words: Sequence[str], variables: Mapping[str, str], timeout_s: float) -> str:
    """Run a program with its arguments and more environment variables; return how that went.

    Returns
    -------
    str
        ``done``, or what went wrong. What the program prints is dropped.
    """
    try:
        ended = subprocess.run(
            list(words),
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {timeout_s:g} s"
    except OSError as error:
        return f"could not be started: {error.strerror}"
    return "done" if ended.returncode == 0 else f"exit status {ended.returncode}"


def refuse_others_commands(study_file: Path) -> None:
    """Refuse to run what a study file names if somebody else could have written it there.

    Raises
    ------
    StudyError
        If others may write the file, or it belongs neither to the user nor to root.
    """
    found = study_file.stat()
    if found.st_uid not in (0, os.getuid()):
        why = "belongs to another user"
    elif found.st_mode & stat.S_IWOTH:
        why = "can be written by everybody"
    else:
        return
    raise StudyError(
        f"{study_file} {why}, so the commands it names under [run] are not run.",
        f"chown or chmod o-w {study_file}, or name the commands by --on-success and --on-failure.",
    )
