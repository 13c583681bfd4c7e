"""A group that may read a study's database and report beside their owner; nobody else ever may."""

from __future__ import annotations

import grp
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spinescore.errors import StudyError
from spinescore.shell.private_files import GROUP_READS
from spinescore.shell.run_status import status_file
from spinescore.shell.snapshots import snapshot_file
from spinescore.study import Study

GROUP_ENTERS = 0o750


@contextmanager
def shared_with_group(study: Study) -> Iterator[Callable[[], None]]:
    """Let the study's group read what is there whenever what is yielded is called, and at the end.

    That is: the database, its snapshot and its status file (0640), and the report's folder with all that this
    user owns in it. Without `[study] group` nothing is done.

    Raises
    ------
    StudyError
        If there is no such group, or who runs this is no member of it.
    """
    group = None if study.study.group is None else group_number(study.study.group)

    def share() -> None:
        if group is None:
            return
        database = study.study.database
        for file in (database, snapshot_file(database), status_file(database)):
            _let_read(file, group)
        for path in (study.study.output, *study.study.output.rglob("*")):
            _let_read(path, group)

    share()
    try:
        yield share
    finally:
        share()


def group_number(name: str) -> int:
    """Return the number of a group that this process may give files to."""
    own = {os.getegid(), *os.getgroups()}
    known = ", ".join(sorted(entry.gr_name for entry in grp.getgrall() if entry.gr_gid in own))
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        raise StudyError(
            f"study.group: there is no group `{name}` on this machine.", f"Yours are {known}."
        ) from None
    if number not in own and os.geteuid() != 0:
        raise StudyError(
            f"study.group: you are no member of the group `{name}`.",
            f"Yours are {known}; who was made a member has to log in again.",
        )
    return number


def _let_read(path: Path, group: int) -> None:
    """Give a file or folder of ours to the group, to read; a link, or what another owns, is left as it is."""
    if not path.exists() or path.is_symlink() or path.stat().st_uid != os.geteuid():
        return
    os.chown(path, -1, group)
    path.chmod(GROUP_ENTERS if path.is_dir() else GROUP_READS)
