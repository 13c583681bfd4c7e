"""The members of a zip archive (PKWARE's APPNOTE 6.3), found and inflated in place.

Python's zipfile decodes names, refuses whole archives for one bad name, keeps a large object
per member and needs the directory at the end; hospitals' zips have names in any code page and
are cut off by full disks. Here names stay the bytes they are, and a zip without its directory
still gives the members whose own headers say how long they are.
"""

from __future__ import annotations

import bz2
import lzma
import stat
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import BinaryIO, NamedTuple

from spinescore.errors import ArchiveError
from spinescore.shell.archive.member_io import (
    DECODER_MEMORY_BYTES,
    MEMBER_LIMIT_BYTES,
    ArchiveFile,
    Decompressor,
    Deflated,
    ForwardStream,
    Inflater,
    MemberIndex,
    Read,
    ReadAt,
    inflate_zstandard,
    open_member,
)

CENTRAL = struct.Struct("<4s6H3I5H2I")  # APPNOTE 4.3.12
LOCAL = struct.Struct("<4s5H3I2H")  # APPNOTE 4.3.7
END = struct.Struct("<4s4H2IH")  # APPNOTE 4.3.16
END64 = struct.Struct("<4sQ2H2I4Q")  # APPNOTE 4.3.14
LOCATOR64 = struct.Struct("<4sIQI")  # APPNOTE 4.3.15
ZIP64_EXTRA = 1
COMMENT_LIMIT_BYTES = 1 << 16
USUAL_RECORD_BYTES = 512
LONGEST_RECORD_BYTES = CENTRAL.size + 3 * 0xFFFF
DIRECTORY_CHUNK_BYTES = 1 << 20
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF

STORED, DEFLATED, BZIP2, LZMA, ZSTANDARD = 0, 8, 12, 14, 93
READABLE_METHODS = frozenset({STORED, DEFLATED, BZIP2, LZMA, ZSTANDARD})
DEFLATE_MOST = 1032  # a deflated bit pair stands for at most 258 bytes
ENCRYPTED_FLAGS = 0x2041  # encrypted, strongly, or with its directory masked
SIZES_FOLLOW_FLAG = 0x8
FOLDER_ATTRIBUTE = 0x10  # MS-DOS
UNIX_SYSTEMS = (3, 19)  # whose attributes hold a file mode; 19 is macOS


class ZipMember(NamedTuple):
    """What the directory says of a member; ``record_offset`` is where it says so."""

    name: bytes
    record_offset: int
    header_offset: int
    flags: int
    method: int
    crc32: int
    stored_bytes: int
    size_bytes: int
    attributes: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder and nothing else."""
        if self.size_bytes:
            return False
        return self.name.endswith(b"/") or bool(self.attributes & FOLDER_ATTRIBUTE)

    @property
    def is_regular(self) -> bool:
        """Whether it is a file, not a symbolic link or a device kept as one."""
        kind = stat.S_IFMT(self.attributes >> 16)
        return kind in (0, stat.S_IFREG, stat.S_IFDIR)

    @property
    def is_encrypted(self) -> bool:
        """Whether a password is needed."""
        return bool(self.flags & ENCRYPTED_FLAGS)

    def problem(self) -> tuple[str, str] | None:
        """Return the reason why it cannot be read, as reason code and detail, or None."""
        if self.is_encrypted:
            return "encrypted", "a password is needed"
        if self.method not in READABLE_METHODS:
            return "archive_damaged", f"compression method {self.method} is not read here"
        impossible = self.method == DEFLATED and self.size_bytes > DEFLATE_MOST * (self.stored_bytes + 16)
        if impossible or self.size_bytes > MEMBER_LIMIT_BYTES:
            return "inflate_limit", f"{self.stored_bytes} bytes claim to hold {self.size_bytes}"
        return None


class ZipArchive:
    """A zip archive on disk.

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: bytes) -> None:
        self._file = ArchiveFile(path)

    def members(self) -> Iterator[ZipMember]:
        """Yield the members in the order of the directory.

        Raises
        ------
        ArchiveError
            After the last that could be read, if there must have been more.
        """
        if self._directory is None:
            n_found = 0
            for member in self._salvage():
                n_found += 1
                yield member
            raise ArchiveError(
                "archive_damaged", f"It has no directory at its end; {n_found} members were found without."
            )
        yield from self._read_directory(*self._directory)

    def find(self, name: bytes, nth: int) -> ZipMember:
        """Return the n-th member of that name.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        offset = self._index[0].find(name, nth)
        member = None if offset is None else self._member_at(offset)
        if member is None or member.name != name:
            raise FileNotFoundError(2, "The archive has no such member", name)
        return member

    def open(self, member: ZipMember) -> BinaryIO:
        """Open a member for reading; nothing is inflated before it is asked for.

        Raises
        ------
        ArchiveError
            If it is encrypted, damaged, a bomb, or compressed in a way unknown here.
        """
        problem = member.problem()
        if problem:
            raise ArchiveError(*problem)
        start = self._data_offset(member)
        end = start + member.stored_bytes
        if member.method == STORED:
            size = min(member.size_bytes, member.stored_bytes)
            return open_member(
                lambda offset, n: self._file.read_at(start + offset, min(n, size - offset)),
                member.size_bytes,
                member.crc32,
            )
        stream = ForwardStream(
            lambda: _inflater(member.method, self._file.reader(start, end)), member.size_bytes + 1
        )
        return open_member(_capped(stream, member.size_bytes), member.size_bytes, member.crc32)

    @cached_property
    def _index(self) -> tuple[MemberIndex, list[int]]:
        """Where the directory names each member, and where members begin, in order."""
        index, header_offsets = MemberIndex(), set()
        try:
            for member in self.members():
                index.add(member.name, member.record_offset)
                header_offsets.add(member.header_offset)
        except ArchiveError:
            pass  # listing it told; what was found can be read
        return index, sorted(header_offsets)

    def _member_at(self, offset: int) -> ZipMember | None:
        """Return the member whose record, in the directory or before its bytes, lies there."""
        for n_bytes in (USUAL_RECORD_BYTES, LONGEST_RECORD_BYTES):
            record = self._file.read_at(offset, n_bytes)
            if not record.startswith(b"PK\x01\x02"):
                member = _read_local(record, offset)
            else:
                found = _read_central(record, 0, offset, self._directory[2] if self._directory else 0)
                member = found[0] if found else None
            if member is not None:
                return member
        return None

    def _data_offset(self, member: ZipMember) -> int:
        header = self._file.read_at(member.header_offset, LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(b"PK\x03\x04"):
            raise ArchiveError("archive_damaged", "Its directory points to where no member begins.")
        name_bytes, extra_bytes = LOCAL.unpack(header)[-2:]
        start = int(member.header_offset + LOCAL.size + name_bytes + extra_bytes)
        following = self._following_header(member.header_offset)
        if following is not None and start + member.stored_bytes > following:
            raise ArchiveError("inflate_limit", "Its bytes overlap those of the next member, as in a bomb.")
        return start

    def _following_header(self, header_offset: int) -> int | None:
        header_offsets = self._index[1]
        position = bisect_right(header_offsets, header_offset)
        return header_offsets[position] if position < len(header_offsets) else None

    @cached_property
    def _directory(self) -> tuple[int, int, int, int] | None:
        """Return start, end, shift (bytes before the zip proper) and members counted; None if not there."""
        tail_bytes = min(self._file.size_bytes, END.size + COMMENT_LIMIT_BYTES)
        tail_offset = self._file.size_bytes - tail_bytes
        tail = self._file.read_at(tail_offset, tail_bytes)
        at = tail.rfind(b"PK\x05\x06", 0, max(0, tail_bytes - END.size + 4))
        while at >= 0:
            directory = self._read_end(tail, at, tail_offset)
            if directory is not None:
                return directory
            at = tail.rfind(b"PK\x05\x06", 0, at)
        return None

    def _read_end(self, tail: bytes, at: int, tail_offset: int) -> tuple[int, int, int, int] | None:
        _, disk, first_disk, _, count, size, offset, _ = END.unpack_from(tail, at)
        end = tail_offset + at
        if FULL_16 in (disk, first_disk, count) or FULL_32 in (size, offset):
            locator = self._file.read_at(end - LOCATOR64.size, LOCATOR64.size)
            if locator.startswith(b"PK\x06\x07"):
                wide = self._read_end64(LOCATOR64.unpack(locator)[2], end)
                if wide is None:
                    return None
                count, size, offset, end = wide
        shift = end - size - offset
        if shift < 0:
            return None
        if size and not self._file.read_at(end - size, 4).startswith(b"PK\x01\x02"):
            return None
        return end - size, end, shift, count

    def _read_end64(self, stated_offset: int, end: int) -> tuple[int, int, int, int] | None:
        for offset in (stated_offset, end - LOCATOR64.size - END64.size):
            record = self._file.read_at(offset, END64.size)
            if len(record) == END64.size and record.startswith(b"PK\x06\x06"):
                *_, count, size, directory_offset = END64.unpack(record)
                return count, size, directory_offset, offset
        return None

    def _read_directory(self, start: int, end: int, shift: int, count: int) -> Iterator[ZipMember]:
        read = self._file.reader(start, end)
        chunk, position, offset, n_found = read(DIRECTORY_CHUNK_BYTES), 0, start, 0
        while True:
            found = _read_central(chunk, position, offset, shift)
            if found is None:
                more = read(DIRECTORY_CHUNK_BYTES) if len(chunk) - position < LONGEST_RECORD_BYTES else b""
                if not more:
                    break
                chunk, position = chunk[position:] + more, 0
                continue
            member, length = found
            yield member
            n_found += 1
            position += length
            offset += length
        if position < len(chunk) or n_found & FULL_16 != count & FULL_16:
            raise ArchiveError(
                "archive_damaged", f"Its directory counts {count} members and names {n_found} of them."
            )

    def _salvage(self) -> Iterator[ZipMember]:
        """Yield members by their own headers, from the start as far as these say how long they are."""
        offset = 0
        while (header := self._file.read_at(offset, LOCAL.size)).startswith(b"PK\x03\x04"):
            member = self._member_at(offset)
            if member is None or member.flags & SIZES_FOLLOW_FLAG:
                return
            yield member
            name_bytes, extra_bytes = LOCAL.unpack(header)[-2:]
            offset += LOCAL.size + name_bytes + extra_bytes + member.stored_bytes


def _read_central(chunk: bytes, position: int, offset: int, shift: int) -> tuple[ZipMember, int] | None:
    """Return the member whose directory record begins there and the record's length; None if cut off."""
    if len(chunk) - position < CENTRAL.size:
        return None
    fields = CENTRAL.unpack_from(chunk, position)
    (signature, _, _, flags, method, _, _, crc32, stored, size, n_name, n_extra, n_comment) = fields[:13]
    name_end = position + CENTRAL.size + n_name
    length = CENTRAL.size + n_name + n_extra + n_comment
    if signature != b"PK\x01\x02" or position + length > len(chunk):
        return None
    header_offset = fields[16]
    if FULL_32 in (stored, size, header_offset):
        extra = chunk[name_end : name_end + n_extra]
        size, stored, header_offset = _widen(extra, size, stored, header_offset)
    name = _until_nul(chunk[name_end - n_name : name_end])
    attributes = fields[15] if fields[1] >> 8 in UNIX_SYSTEMS else fields[15] & FULL_16
    header_offset += shift
    return ZipMember(name, offset, header_offset, flags, method, crc32, stored, size, attributes), length


def _read_local(record: bytes, offset: int) -> ZipMember | None:
    if len(record) < LOCAL.size:
        return None
    signature, _, flags, method, _, _, crc32, stored, size, n_name, n_extra = LOCAL.unpack_from(record)
    name_end = LOCAL.size + n_name
    if signature != b"PK\x03\x04" or len(record) < name_end + n_extra:
        return None
    size, stored, _ = _widen(record[name_end : name_end + n_extra], size, stored, 0)
    name = _until_nul(record[LOCAL.size : name_end])
    return ZipMember(name, offset, offset, flags, method, crc32, stored, size, 0)


def _until_nul(name: bytes) -> bytes:
    """Return a name up to its first NUL, which hides the rest elsewhere and would split a location."""
    return name if b"\0" not in name else name[: name.index(b"\0")]


def _widen(extra: bytes, *narrow: int) -> list[int]:
    """Return the fields, those at their limit taken from the zip64 extra field (APPNOTE 4.5.3)."""
    wide = list(narrow)
    position = 0
    while position + 4 <= len(extra):
        tag, n_bytes = struct.unpack_from("<2H", extra, position)
        position += 4
        if tag == ZIP64_EXTRA:
            values = struct.iter_unpack("<Q", extra[position : position + n_bytes // 8 * 8])
            for i, value in enumerate(wide):
                if value == FULL_32:
                    wide[i] = next(values, (value,))[0]
            break
        position += n_bytes
    return wide


def _inflater(method: int, read: Read) -> Read:
    if method == ZSTANDARD:
        return inflate_zstandard(read)
    starts: dict[int, Callable[[], Decompressor]] = {
        DEFLATED: lambda: Deflated(-15),
        BZIP2: bz2.BZ2Decompressor,
        LZMA: lambda: _start_lzma(read),
    }
    return Inflater(read, starts[method]).read


def _start_lzma(read: Read) -> Decompressor:
    """Return a decompressor set as the member's first nine bytes say (APPNOTE 5.8.8)."""
    head = read(9)
    if len(head) < 9 or head[2:4] != b"\x05\0" or head[4] >= 225:
        raise ArchiveError("archive_damaged", "Its LZMA header is malformed.")
    (dictionary_bytes,) = struct.unpack("<I", head[5:])
    if dictionary_bytes > DECODER_MEMORY_BYTES:
        raise ArchiveError("inflate_limit", f"Its dictionary would take {dictionary_bytes} bytes.")
    settings = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": max(dictionary_bytes, 4096),
        "lc": head[4] % 9,
        "lp": head[4] // 9 % 5,
        "pb": head[4] // 45,
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings])


def _capped(stream: ForwardStream, size_bytes: int) -> ReadAt:
    """Return a way to read the stream that complains if it holds more than it was said to."""

    def read_at(offset: int, size: int) -> bytes:
        at_the_end = offset + size >= size_bytes
        data = stream.read_at(offset, size + at_the_end)
        if offset + len(data) > size_bytes:
            raise ArchiveError("inflate_limit", f"It inflates to more than the {size_bytes} bytes it claims.")
        return data

    return read_at
