"""Folders, files, DICOMDIRs and lists of paths -> every path there, with what listing says of it.

Paths are bytes: names come in any encoding. Everything streams: of a million files, only the
names of the folders on the way down are held.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

from spinescore.errors import SourceError
from spinescore.shell.archive.dicomdir import find_referenced, is_dicomdir
from spinescore.shell.archive.locations import SEPARATOR, Candidate, describe_path, refused_path

__all__ = ["Candidate", "find_candidates", "find_listed", "find_root", "read_path_list"]

LIST_BLOCK_BYTES = 1 << 16
LISTED_PATH_LIMIT_BYTES = 1 << 20
EMPTY = "rejected", "empty", ""


def find_candidates(sources: Iterable[bytes | Path]) -> Iterator[Candidate]:
    """Yield every path under the sources, in an order that depends on neither theirs nor the disk's.

    A source may be a folder, a file, a DICOMDIR (which stands for the files it names) or a link
    to one of these. Links found on the way are followed to files, never to folders. A folder
    that cannot be listed is one refused candidate; what vanishes meanwhile is left out.

    Raises
    ------
    SourceError
        If a source does not exist, before anything is yielded.
    """
    roots = sorted({find_root(os.fsencode(source)) for source in sources})
    folders = {root for root in roots if os.path.isdir(root)}
    for root in roots:
        is_within = any(parent in folders for parent in _parents(root))
        if root in folders:
            if not is_within:
                yield from _walk(root)
        elif is_dicomdir(root):
            yield from _unseen(find_referenced(root)) if is_within else find_referenced(root)
        elif not is_within:
            yield from _describe_if_there(root)


def find_root(path: bytes) -> bytes:
    """Return the real path of a source, whichever way its name is composed.

    Raises
    ------
    SourceError
        If it does not exist.
    """
    found = _existing_spelling(path)
    if found is None:
        shown = path.decode("utf-8", "backslashreplace")
        raise SourceError(f"No file or folder at {shown}.", "Check the path; is the share mounted?")
    return os.path.realpath(found)


def _existing_spelling(path: bytes) -> bytes | None:
    """Return a path as it is spelt on disk: as given, or part by part composed or decomposed.

    Names typed on one system (macOS decomposes accents, NFD) differ in their bytes from those
    of another (NFC).
    """
    if SEPARATOR in path:
        return None
    if os.path.exists(path):
        return path
    found = b"/" if path.startswith(b"/") else b""
    for part in filter(None, path.split(b"/")):
        spellings = (os.path.join(found, spelling) for spelling in _spellings(part))
        existing = next(filter(os.path.exists, spellings), None)
        if existing is None:
            return None
        found = existing
    return found or None


def _spellings(part: bytes) -> Iterator[bytes]:
    yield part
    try:
        text = part.decode()
    except UnicodeDecodeError:
        return
    yield unicodedata.normalize("NFC", text).encode()
    yield unicodedata.normalize("NFD", text).encode()


def _parents(path: bytes) -> Iterator[bytes]:
    while path != (parent := os.path.dirname(path)):
        yield parent
        path = parent


def _unseen(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Yield those that a walk of the folder does not come by, and what only parsing tells."""
    for candidate in candidates:
        if candidate.refusal and candidate.refusal[1] in ("not_found", "reference_outside"):
            yield candidate


def _walk(folder: bytes) -> Iterator[Candidate]:
    """Yield what lies below a folder: names in the order of their bytes, folders entered in place.

    This loop is the cost of a run in which nothing changed: a system call and as little else as
    can be for each file.
    """
    open_folders: list[tuple[bytes, Iterator[bytes]]] = []
    prefix, names, refused = _list(folder)
    if refused:
        yield refused
    lstat = os.lstat
    while True:
        for name in names:
            path = prefix + name
            try:
                status = lstat(path)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    yield refused_path(path, error)
                continue
            if S_ISREG(status.st_mode):
                size = status.st_size
                yield Candidate(path, size, status.st_mtime_ns, None if size else EMPTY)
            elif S_ISDIR(status.st_mode):
                open_folders.append((prefix, names))
                prefix, names, refused = _list(path)
                if refused:
                    yield refused
                break
            else:
                yield from _describe_if_there(path)
        else:
            if not open_folders:
                return
            prefix, names = open_folders.pop()


def _list(folder: bytes) -> tuple[bytes, Iterator[bytes], Candidate | None]:
    """Return what to put before each name, the names, and the refusal of a folder that hides them."""
    prefix = os.path.join(folder, b"")
    try:
        return prefix, iter(sorted(os.listdir(folder))), None
    except OSError as error:
        vanished = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return prefix, iter(()), None if vanished else refused_path(folder, error)


def _describe_if_there(path: bytes) -> Iterator[Candidate]:
    try:
        yield describe_path(path)
    except FileNotFoundError:
        return


def read_path_list(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the paths of a list as they come in: separated by NULs (``find -print0``) or one a line.

    NULs within the first 64 KiB decide. Blank lines, carriage returns at a line's end and a
    UTF-8 byte order mark are no part of a path.

    Raises
    ------
    SourceError
        If this is no list of paths.
    """
    block = stream.read(LIST_BLOCK_BYTES)
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError("The list of paths is UTF-16.", "Save it as UTF-8, without other changes.")
    block = block.removeprefix(b"\xef\xbb\xbf")
    separator, ending = (b"\0", b"") if b"\0" in block else (b"\n", b"\r")
    rest = b""
    while block:
        *whole, rest = (rest + block).split(separator)
        if len(rest) > LISTED_PATH_LIMIT_BYTES:
            raise SourceError("The list of paths has an entry of more than a megabyte.", "Is it a list?")
        yield from filter(None, (path.removesuffix(ending) for path in whole))
        block = stream.read(LIST_BLOCK_BYTES)
    if rest.removesuffix(ending):
        yield rest.removesuffix(ending)


def find_listed(paths: Iterable[bytes], base: bytes) -> Iterator[Candidate]:
    """Yield a candidate for each path, in the order given; a folder stands for all below it.

    Paths come out as a walk would find them: absolute, links to their folder resolved. A link
    to a folder is not followed (``find`` names each one it meets); a path that is not there is
    a candidate too, ``missing``.

    Parameters
    ----------
    paths : iterable of bytes
        Absolute, or relative to ``base``.
    base : bytes
        An absolute path of a folder.
    """
    resolve = lru_cache(maxsize=256)(os.path.realpath)
    for listed in paths:
        path = os.path.join(base, listed.replace(SEPARATOR, b"\\0"))
        folder, name = os.path.split(path.rstrip(b"/") or b"/")
        is_plain = name not in (b"", b".", b"..")
        yield from _find_one(os.path.join(resolve(folder), name) if is_plain else resolve(path))


def _find_one(path: bytes) -> Iterator[Candidate]:
    try:
        candidate = describe_path(path)
    except FileNotFoundError:
        spelt = _existing_spelling(path)
        if spelt is None:
            yield Candidate(path, 0, 0, ("missing", "not_found", "named by a list of paths"))
            return
        path, candidate = spelt, describe_path(spelt)
    if candidate.refusal and candidate.refusal[1] == "not_regular" and os.path.isdir(path):
        yield from _walk(path)
    else:
        yield candidate
