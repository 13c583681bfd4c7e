"""Which file system a folder lies on, and whether a database may lie there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NETWORKED = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs"}
    | {"panfs", "orangefs", "ocfs2", "gfs2", "9p", "virtiofs", "davfs"}
)
OF_THIS_MACHINE = frozenset(
    {"fuse.fuse-overlayfs", "fuse.ntfs", "fuse.ntfs-3g", "fuse.lxcfs", "fuse.gocryptfs", "fuse.encfs"}
)
OF_MEMORY = frozenset({"tmpfs", "ramfs"})
OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A place where a file system is mounted: where, its type, its options."""

    point: PurePosixPath
    kind: str
    options: frozenset[str]

    @property
    def is_networked(self) -> bool:
        """Whether files are on another machine, or behind a program that may be one's way there."""
        return self.kind in NETWORKED or (self.kind.startswith("fuse") and not self._is_local_fuse)

    @property
    def is_of_memory(self) -> bool:
        """Whether it is gone at the next start of the machine."""
        return self.kind in OF_MEMORY

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written there."""
        return "ro" in self.options

    @property
    def _is_local_fuse(self) -> bool:
        return self.kind in OF_THIS_MACHINE or self.kind == "fuseblk"


def parse_mounts(text: str) -> list[Mount]:
    """Read ``/proc/self/mountinfo`` (proc(5)); lines that are none are passed over.

    >>> parse_mounts("36 35 98:0 / /mnt/a\\\\040b rw,noatime shared:1 - nfs4 host:/a rw")[0].point
    PurePosixPath('/mnt/a b')
    """
    mounts = []
    for line in text.splitlines():
        fields = line.split(" ")
        if "-" not in fields[6:] or len(fields) < fields.index("-", 6) + 2:
            continue
        kind = fields[fields.index("-", 6) + 1]
        point = OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        mounts.append(Mount(PurePosixPath(point), kind, frozenset(fields[5].split(","))))
    return mounts


def find_mount(mounts: Sequence[Mount], path: Path) -> Mount | None:
    """Return where an absolute path is mounted: the deepest point above it, the last mounted of those."""
    above = [mount for mount in mounts if path.is_relative_to(mount.point)]
    return max(reversed(above), key=lambda mount: len(mount.point.parts), default=None)
