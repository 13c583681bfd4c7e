"""A location (a file, or a member of an archive) -> an open handle; its bytes -> text for people.

A location is bytes: a file's path, or an archive's path, a NUL and the member's name, and for
the second and later member of that name another NUL and its number. No file name can hold a
NUL, so these never mix.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from spinescore.errors import ArchiveError
from spinescore.shell.archive.tar_members import TarArchive
from spinescore.shell.archive.zip_members import ZipArchive

SEPARATOR = b"\0"
OPEN_ARCHIVES = 4  # per process; an index of a million members takes a hundred megabytes
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

Refusal = tuple[str, str, str]  # state, reason, detail


class Candidate(NamedTuple):
    """A location and what listing says of it; a link to a file stands for that file.

    Parameters
    ----------
    path_bytes : bytes
        The location.
    size_bytes, modified_ns : int
        Size (of a member: inflated) and time of change (of a member: its archive's).
    refusal : (state, reason, detail), optional
        What becomes of it, if listing alone settled that.
    """

    path_bytes: bytes
    size_bytes: int
    modified_ns: int
    refusal: Refusal | None = None

    @property
    def path(self) -> str:
        """The location as text, as ``display_path`` has it."""
        return display_path(self.path_bytes)


def display_path(location: bytes) -> str:
    """Return a location as text that any program can hold; bytes that are not UTF-8 are escaped.

    >>> display_path(b"a\\xff.dcm")
    'a\\\\xff.dcm'
    >>> display_path(b"a.zip\\0b/c.dcm")
    'a.zip!/b/c.dcm'
    >>> display_path(b"a.zip\\0b/c.dcm\\x002")
    'a.zip!/b/c.dcm#2'
    """
    path, *member = location.split(SEPARATOR, 1)
    if member:
        path += b"!/" + member[0].replace(SEPARATOR, b"#")
    return path.decode("utf-8", "backslashreplace")


def member_location(archive: bytes, name: bytes, nth: int) -> bytes:
    """Return the location of the n-th member of that name (from 1)."""
    location = archive + SEPARATOR + name
    return location if nth == 1 else location + SEPARATOR + b"%d" % nth


def describe_path(path: bytes) -> Candidate:
    """Return what the file system says of a path, read errors and links included.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    """
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return _describe_link(path, status)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise FileNotFoundError(errno.ENOENT, "There is no such file", path) from error
    except OSError as error:
        return refused_path(path, error)
    return _describe_target(path, status)


def refused_path(path: bytes, error: OSError) -> Candidate:
    """Return a path that the file system does not let us look at or into."""
    reason = "path_too_long" if error.errno == errno.ENAMETOOLONG else "permission"
    return Candidate(path, 0, 0, ("rejected", reason, str(error.strerror)))


def _describe_link(path: bytes, link: os.stat_result) -> Candidate:
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno == errno.EACCES:
            return refused_path(path, error)
        reason = "symlink_loop" if error.errno == errno.ELOOP else "symlink_dangling"
    else:
        if not stat.S_ISDIR(status.st_mode):
            return _describe_target(path, status)
        reason = "symlink_dir"
    return Candidate(path, link.st_size, link.st_mtime_ns, ("excluded", reason, ""))


def _describe_target(path: bytes, status: os.stat_result) -> Candidate:
    refusal = None
    if not stat.S_ISREG(status.st_mode):
        refusal = "excluded", "not_regular", ""
    elif not status.st_size:
        refusal = "rejected", "empty", ""
    return Candidate(path, status.st_size, status.st_mtime_ns, refusal)


def open_location(location: bytes) -> BinaryIO:
    """Open a location for reading from its start; the handle is seekable.

    Of an archive only what is read is inflated. Members of a compressed tar are cheap to read
    in the order they lie in: going back inflates from the start again.

    Raises
    ------
    FileNotFoundError, PermissionError, OSError
        If it cannot be opened, or is no regular file.
    ArchiveError
        If its archive, or what of it leads to the member, is damaged, encrypted or a bomb; raised
        while reading too. It is a ``DecodingError``.
    """
    path, name, nth = _split(location)
    if name is not None:
        archive = _opened(path)
        return _open_found(archive, name, nth)
    descriptor = os.open(path, OPEN_FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", path)
    return os.fdopen(descriptor, "rb")


def location_exists(location: bytes) -> bool:
    """Return whether the file is there; for a member, whether its archive is and holds it."""
    try:
        stat_location(location)
    except OSError:
        return False
    return True


def stat_location(location: bytes) -> tuple[int, int]:
    """Return size in bytes and time of change in ns, as ``Candidate`` has them.

    Raises
    ------
    FileNotFoundError
        If it is not there, or its archive is too damaged to tell.
    OSError
        If it cannot be looked at.
    """
    path, name, nth = _split(location)
    try:
        status = os.stat(path)
        if name is None:
            return status.st_size, status.st_mtime_ns
        return _opened(path).find(name, nth).size_bytes, status.st_mtime_ns
    except (NotADirectoryError, ValueError, ArchiveError) as error:
        raise FileNotFoundError(errno.ENOENT, "There is no such file or member", location) from error


def open_archive(path: bytes) -> ZipArchive | TarArchive:
    """Open an archive: by its suffix a zip, otherwise a tar.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    return ZipArchive(path) if path.lower().endswith(b".zip") else TarArchive(path)


def _open_found(archive: ZipArchive | TarArchive, name: bytes, nth: int) -> BinaryIO:
    if isinstance(archive, ZipArchive):
        return archive.open(archive.find(name, nth))
    return archive.open(archive.find(name, nth))


def _opened(path: bytes) -> ZipArchive | TarArchive:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", path)
    return _open_cached(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=OPEN_ARCHIVES)
def _open_cached(path: bytes, size_bytes: int, modified_ns: int) -> ZipArchive | TarArchive:  # noqa: ARG001 the key
    return open_archive(path)


def _split(location: bytes) -> tuple[bytes, bytes | None, int]:
    path, *member = location.split(SEPARATOR, 2)
    if not member:
        return path, None, 1
    nth = member[1] if len(member) > 1 else b"1"
    if not nth.isdigit():
        raise FileNotFoundError(errno.ENOENT, "There is no such member", location)
    return path, member[0], int(nth)
