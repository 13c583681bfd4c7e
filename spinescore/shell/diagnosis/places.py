"""Where files lie: file system, room, owner and mode of SPINESCORE_HOME, key and database."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from spinescore.core.diagnosis.finding import Finding, judge
from spinescore.core.diagnosis.mounts import Mount, find_mount, parse_mounts
from spinescore.shell.identity import key_file
from spinescore.shell.resources import home

MOUNTINFO = Path("/proc/self/mountinfo")
LEAST_ROOM_BYTES = 1 << 30
OTHERS = stat.S_IRWXO
GROUP_WRITES = stat.S_IWGRP | stat.S_IXGRP
NETWORKED = (
    "DuckDB's locks may not hold there, and two writers would destroy it: put the database on a disk of this "
    "machine and copy it away with `spinescore backup`."
)


def look_at_home() -> Iterator[Finding]:
    """Look at SPINESCORE_HOME and the key in it."""
    try:
        folder = home()
    except OSError as error:
        yield judge(
            "folders", "SPINESCORE_HOME", str(error), fail="Set SPINESCORE_HOME to a folder of yours."
        )
        return
    yield _judge_folder("SPINESCORE_HOME", folder)
    yield _judge_room("room in SPINESCORE_HOME", folder, LEAST_ROOM_BYTES)
    key = key_file()
    if not key.exists():
        yield judge("folders", "pseudonym key", "none yet: made by the first `ingest`")
        return
    yield _judge_mode("pseudonym key", key, not_even_group=True)


def look_at_place(database: Path) -> Iterator[Finding]:
    """Look at the folder of a database, its room, and the modes of the files beside it."""
    folder = database.resolve().parent
    if not folder.is_dir():
        yield judge(
            "folders", "database's folder", f"{folder} is not there", fail="Make it, or mount its share."
        )
        return
    yield _judge_file_system(folder)
    yield _judge_folder("database's folder", folder, only_ours=False)
    size = database.stat().st_size if database.is_file() else 0
    yield _judge_room("room beside the database", folder, size + LEAST_ROOM_BYTES)
    for path in sorted(folder.glob(f"{database.name}*")):
        if path.is_file():
            yield _judge_mode(f"mode of {path.name}", path)


def mount_of(folder: Path) -> Mount | None:
    """Return where a folder is mounted; None where the system does not tell."""
    try:
        return find_mount(parse_mounts(MOUNTINFO.read_text(encoding="utf-8", errors="replace")), folder)
    except OSError:
        return None


def _judge_file_system(folder: Path) -> Finding:
    name = "file system"
    mount = mount_of(folder)
    if mount is None:
        return judge("folders", name, f"that of {folder} is not known", warn="Make sure it is a local disk.")
    found = f"{mount.kind} at {mount.point}"
    if mount.is_networked:
        return judge("folders", name, found, fail=NETWORKED)
    if mount.is_read_only:
        return judge("folders", name, found, fail="It is mounted read-only: name a database elsewhere.")
    lost = "It is gone at the next start of the machine: name a database on a disk."
    return judge("folders", name, found, warn=lost if mount.is_of_memory else "")


def _judge_folder(name: str, folder: Path, *, only_ours: bool = True) -> Finding:
    facts = folder.stat()
    mode, ours = stat.S_IMODE(facts.st_mode), facts.st_uid == os.geteuid()
    found = f"{folder}, mode {mode:04o}, of {_owner(facts.st_uid)}"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return judge("folders", name, found, fail="This user cannot write there: change owner or mode.")
    open_to_all = mode & stat.S_IWOTH and not mode & stat.S_ISVTX
    if open_to_all:
        return judge("folders", name, found, fail=f"Anybody can replace files in it: chmod o-w {folder}")
    loose = only_ours and mode & (stat.S_IRWXG | OTHERS)
    foreign = "" if ours or not only_ours else "It is another user's: run spinescore as its owner."
    return judge("folders", name, found, warn=foreign or (f"Close it: chmod 700 {folder}" if loose else ""))


def _judge_mode(name: str, path: Path, *, not_even_group: bool = False) -> Finding:
    facts = path.stat()
    mode = stat.S_IMODE(facts.st_mode)
    found = f"{mode:04o}, of {_owner(facts.st_uid)}"
    forbidden = OTHERS | (stat.S_IRWXG if not_even_group else GROUP_WRITES)
    if mode & forbidden:
        return judge(
            "folders",
            name,
            found,
            fail=f"Others can use it: chmod {'600' if not_even_group else '640'} {path}",
        )
    foreign = facts.st_uid != os.geteuid()
    return judge(
        "folders", name, found, warn="It is another user's: run spinescore as its owner." if foreign else ""
    )


def _judge_room(name: str, folder: Path, wanted_bytes: int) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB free of the {wanted_bytes / 1e9:,.1f} GB that should be"
    return judge(
        "folders",
        name,
        found,
        warn="" if free >= wanted_bytes else f"Free some room on the disk of {folder}.",
    )


def _owner(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
