"""Archives -> the members in them, as candidates; they are read where they lie, never unpacked."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.errors import ArchiveError
from spinescore.shell.archive.locations import SEPARATOR, Candidate, Refusal, member_location, open_archive
from spinescore.shell.archive.member_io import MemberIndex
from spinescore.shell.archive.tar_members import TarMember
from spinescore.shell.archive.zip_members import ZipMember

__all__ = ["ArchiveError", "find_members", "is_archive"]

ARCHIVE_SUFFIXES = (
    b".zip",
    b".tar",
    b".tar.gz",
    b".tgz",
    b".tar.zst",
    b".tzst",
    b".tar.bz2",
    b".tbz2",
    b".tar.xz",
    b".txz",
)


def is_archive(candidate: Candidate) -> bool:
    """Return whether a candidate is, by its name, an archive whose members can be listed."""
    path = candidate.path_bytes
    return (
        path[-8:].lower().endswith(ARCHIVE_SUFFIXES) and candidate.refusal is None and SEPARATOR not in path
    )


def find_members(archive: Candidate) -> Iterator[Candidate]:
    """Yield the members of an archive in the order they lie in (zip: that its directory names them).

    Folders are left out. Links, devices, archives within the archive and what cannot be read
    come with a refusal. Names are the bytes the archive holds; nothing is written by them, so
    absolute ones and those with ``..`` do no harm.

    Raises
    ------
    ArchiveError
        After the last member that could be read: it is damaged, or inflates without end.
    OSError
        If the archive cannot be opened or read.
    """
    index = MemberIndex()
    for member in open_archive(archive.path_bytes).members():
        nth = index.add(member.name, member.record_offset)
        if member.is_folder:
            continue
        location = member_location(archive.path_bytes, member.name, nth)
        yield Candidate(location, member.size_bytes, archive.modified_ns, _refusal(member))


def _refusal(member: ZipMember | TarMember) -> Refusal | None:
    if not member.is_regular:
        return "excluded", "not_regular", ""
    if member.name[-8:].lower().endswith(ARCHIVE_SUFFIXES):
        return "excluded", "nested_archive", ""
    if not member.size_bytes and not member.is_encrypted:
        return "rejected", "empty", ""
    problem = member.problem()
    return ("rejected", *problem) if problem else None
