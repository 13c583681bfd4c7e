"""The members of a tar archive (POSIX pax, GNU and old forms), plain or compressed, read in place.

Python's tarfile decodes names, recurses over chained headers, keeps an object per member and
reads as much into memory as a header asks for. Here names stay the bytes they are and a member
of a compressed archive is reached by inflating on from the last one read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from spinescore.errors import ArchiveError
from spinescore.shell.archive.member_io import (
    ArchiveFile,
    ForwardStream,
    MemberIndex,
    ReadAt,
    inflate,
    keeping,
    open_member,
    window,
)

BLOCK_BYTES = 512
ZEROS = bytes(BLOCK_BYTES)
EXTENSION_LIMIT_BYTES = 1 << 20  # of a long name or a pax header
EXTENSIONS_LIMIT = 32  # before one member
SEGMENTS_LIMIT = 1 << 16  # of a sparse file
PADDING_LIMIT_BYTES = 1 << 20  # looked through after the end mark
KEPT_ON_LIMIT_BYTES = 1 << 26  # of the last compressed member, should it be opened again
INFLATED_FLOOR_BYTES = 1 << 32  # never called a bomb below this, nor below so many times the file:
INFLATED_RATIO = 200

FOLDERS = b"5D"
LABELS = b"VN"  # of a volume, of names in an old form: no files
NOT_REGULAR = b"12346M"  # links, devices, a piece of another volume's file
HAS_NO_DATA = b"123456"
PAX, LONG_NAME = b"xX", b"L"
EXTENSIONS = PAX + LONG_NAME + b"Kg"  # of what follows; K and g have nothing we need

Segments = tuple[tuple[int, int], ...]  # (offset in the file, bytes), in order


class TarMember(NamedTuple):
    """What the headers of a member say; ``stored_bytes`` lie at ``data_offset``."""

    name: bytes
    type_flag: bytes
    size_bytes: int
    record_offset: int
    data_offset: int
    stored_bytes: int
    next_offset: int
    segments: Segments | None  # of a sparse file: what is stored; the rest is zeros

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, or a label that is no file at all."""
        if self.type_flag in FOLDERS + LABELS:
            return True
        return self.type_flag == b"\0" and self.name.endswith(b"/")  # tar of 1979

    @property
    def is_regular(self) -> bool:
        """Whether it is a file, not a link or a device; unknown types are files, as POSIX has it."""
        return self.type_flag not in NOT_REGULAR

    @property
    def is_encrypted(self) -> bool:
        """Tar knows no encryption."""
        return False

    def problem(self) -> tuple[str, str] | None:
        """Return the reason why it cannot be read, as reason code and detail, or None."""
        if self.segments is not None and self.size_bytes > INFLATED_FLOOR_BYTES:
            return "inflate_limit", f"{self.stored_bytes} bytes claim to hold {self.size_bytes}"
        return None


class TarArchive:
    """A tar archive on disk; what it begins with tells how it is compressed, whatever its name.

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: bytes) -> None:
        file = ArchiveFile(path)
        first_bytes = file.read_at(0, 8)
        self._read_at: ReadAt = file.read_at
        self._is_compressed = inflate(lambda _: b"", first_bytes) is not None
        if self._is_compressed:
            limit_bytes = max(INFLATED_FLOOR_BYTES, INFLATED_RATIO * file.size_bytes)
            self._read_at = ForwardStream(
                lambda: inflate(file.reader(0, file.size_bytes), first_bytes) or file.reader(0, 0),
                limit_bytes,
            ).read_at
        self._index = MemberIndex()
        self._walked_to, self._is_walked = 0, False
        self._damage: ArchiveError | None = None
        self._last: tuple[bytes, int, TarMember] | None = None
        self._kept: tuple[int, ReadAt] = (-1, self._read_at)

    def members(self) -> Iterator[TarMember]:
        """Yield the members in the order they lie in; a compressed archive is inflated on the way.

        Raises
        ------
        ArchiveError
            After the last that could be read, if the archive is damaged, cut off or a bomb.
        """
        offset = 0
        while (member := self._next(offset)) is not None:
            yield member
            offset = member.next_offset

    def find(self, name: bytes, nth: int) -> TarMember:
        """Return the n-th member of that name, going on from the last one found.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ArchiveError
            If the archive is damaged before it.
        """
        if self._last and self._last[:2] == (name, nth):
            return self._last[2]
        member = self._known(name, nth) or self._go_on_to(name, nth)
        if member is None:
            raise FileNotFoundError(2, "The archive has no such member", name)
        self._last = (name, nth, member)
        return member

    def open(self, member: TarMember) -> BinaryIO:
        """Open a member for reading.

        Raises
        ------
        ArchiveError
            If it claims to be larger than any radiograph.
        """
        problem = member.problem()
        if problem:
            raise ArchiveError(*problem)
        read_at = self._stored(member)
        if member.segments is not None:
            read_at = _with_holes(read_at, member.segments, member.size_bytes)
        return open_member(read_at, member.size_bytes)

    def _known(self, name: bytes, nth: int) -> TarMember | None:
        offset = self._index.find(name, nth)
        member = None if offset is None else self._member_at(offset)
        return member if member is not None and member.name == name else None

    def _go_on_to(self, name: bytes, nth: int) -> TarMember | None:
        while not self._is_walked:
            try:
                member = self._next(self._walked_to)
            except ArchiveError as error:
                member, self._damage = None, error
            if member is None:
                self._is_walked = True
                break
            self._walked_to = member.next_offset
            found = self._index.add(member.name, member.record_offset)
            if found == nth and member.name == name:
                return member
        if self._damage is not None:
            raise ArchiveError(self._damage.reason, self._damage.message)
        return None

    def _stored(self, member: TarMember) -> ReadAt:
        """Return how to read a member's stored bytes; of a compressed one what was inflated is kept."""
        if not self._is_compressed:
            return window(self._read_at, member.data_offset, member.stored_bytes)
        if self._kept[0] == member.data_offset:
            return self._kept[1]
        read_at = keeping(window(self._read_at, member.data_offset, member.stored_bytes))
        if member.stored_bytes <= KEPT_ON_LIMIT_BYTES:
            self._kept = member.data_offset, read_at
        return read_at

    def _next(self, offset: int) -> TarMember | None:
        """Return the member that begins there, or beyond an end mark there; None at the end."""
        while (member := self._member_at(offset)) is None:
            following = self._beyond_end_mark(offset)
            if following is None:
                return None
            offset = following
        return member

    def _member_at(self, offset: int) -> TarMember | None:
        """Return the member whose headers begin there, or None for the end mark."""
        extensions: dict[bytes, bytes] = {}
        sparse_pairs: list[int] = []
        position = offset
        for _ in range(EXTENSIONS_LIMIT):
            block = self._header_block(position)
            if block is None:
                return None
            kind, size = block[156:157], _number(block[124:136])
            if kind not in EXTENSIONS:
                return self._describe(block, offset, position + BLOCK_BYTES, extensions, sparse_pairs)
            text = self._extension(position + BLOCK_BYTES, size)
            position += BLOCK_BYTES + _rounded(size)
            if kind == LONG_NAME:
                extensions[b"path"] = text.rstrip(b"\0")
            elif kind in PAX:
                _read_pax(text.rstrip(b"\0"), extensions, sparse_pairs)
        raise _damaged(f"Header upon header at byte {offset}.")

    def _header_block(self, offset: int) -> bytes | None:
        block = self._read_at(offset, BLOCK_BYTES)
        if block == ZEROS:
            return None
        if len(block) < BLOCK_BYTES:
            raise _damaged(f"It ends after {offset + len(block)} bytes without an end mark.")
        stated = _number(block[148:156])
        unsigned = sum(block) - sum(block[148:156]) + 8 * 32
        if stated != unsigned and stated != unsigned - 256 * sum(byte > 127 for byte in _summed(block)):
            raise _damaged(f"There is no tar header at byte {offset}.")
        return block

    def _extension(self, offset: int, size: int) -> bytes:
        if size > EXTENSION_LIMIT_BYTES:
            raise _damaged(f"A header of {size} bytes at byte {offset}.")
        text = self._read_at(offset, size)
        if len(text) < size:
            raise _damaged(f"It ends within the header at byte {offset}.")
        return text

    def _describe(
        self,
        block: bytes,
        record_offset: int,
        data_offset: int,
        extensions: dict[bytes, bytes],
        sparse_pairs: list[int],
    ) -> TarMember:
        kind = block[156:157]
        stored = int(extensions.get(b"size", b"") or _number(block[124:136]))
        size = int(extensions.get(b"GNU.sparse.realsize") or extensions.get(b"GNU.sparse.size") or stored)
        segments = _paired(sparse_pairs) if b"GNU.sparse.size" in extensions else None
        next_offset = data_offset + (0 if kind in HAS_NO_DATA else _rounded(stored))
        if kind == b"S":
            segments, map_bytes = self._old_sparse_map(block, data_offset)
            size = _number(block[483:495])
            data_offset, next_offset = data_offset + map_bytes, next_offset + map_bytes
        elif extensions.get(b"GNU.sparse.major") == b"1":
            segments, map_bytes = self._new_sparse_map(data_offset)
            data_offset, stored = data_offset + map_bytes, stored - map_bytes
        name = _name(block, extensions)
        return TarMember(name, kind, size, record_offset, data_offset, stored, next_offset, segments)

    def _old_sparse_map(self, block: bytes, data_offset: int) -> tuple[Segments, int]:
        """Return the map of a GNU sparse header and the bytes of the blocks that go on with it."""
        pairs = _sparse_fields(block[386:482])
        goes_on, n_blocks = bool(block[482]), 0
        while goes_on:
            more = self._extension(data_offset + n_blocks * BLOCK_BYTES, BLOCK_BYTES)
            pairs += _sparse_fields(more[:504])
            goes_on, n_blocks = bool(more[504]), n_blocks + 1
            if len(pairs) > 2 * SEGMENTS_LIMIT:
                raise _damaged(f"A sparse map without end at byte {data_offset}.")
        return _paired(pairs), n_blocks * BLOCK_BYTES

    def _new_sparse_map(self, data_offset: int) -> tuple[Segments, int]:
        """Return the map that begins the data of a pax 1.0 sparse file (a number a line) and its bytes."""
        text, n_numbers = b"", 1
        while text.count(b"\n") < n_numbers:
            text += self._extension(data_offset + len(text), BLOCK_BYTES)
            if b"\n" in text and n_numbers == 1:
                n_numbers = 1 + 2 * _decimal(text[: text.index(b"\n")])
            if n_numbers > 2 * SEGMENTS_LIMIT or len(text) > EXTENSION_LIMIT_BYTES:
                raise _damaged(f"A sparse map without end at byte {data_offset}.")
        return _paired([_decimal(line) for line in text.split(b"\n")[1:n_numbers]]), len(text)

    def _beyond_end_mark(self, offset: int) -> int | None:
        """Return where another archive goes on after this one's end mark and padding, or None.

        Reading on to the end of a compressed file also verifies its checksum.
        """
        end = offset + PADDING_LIMIT_BYTES
        while offset < end:
            offset += BLOCK_BYTES
            block = self._read_at(offset, BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                return None
            if block != ZEROS:
                return offset
        return None


def _damaged(message: str) -> ArchiveError:
    return ArchiveError("archive_damaged", message)


def _summed(block: bytes) -> bytes:
    return block[:148] + block[156:]


def _rounded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _number(field: bytes) -> int:
    """Return a number in octal digits, or in base 256 as GNU writes large ones."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    try:
        number = int(digits or b"0", 8)
    except ValueError:
        number = -1
    if number < 0:
        raise _damaged(f"A number in a tar header reads {field!r}.")
    return number


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise _damaged(f"A number in a pax header reads {text[:20]!r}.")
    return int(text)


def _name(block: bytes, extensions: dict[bytes, bytes]) -> bytes:
    """Return a member's name: pax's, GNU's, or the header's with its prefix; never with a NUL."""
    name = extensions.get(b"GNU.sparse.name") or extensions.get(b"path")
    if name is None:
        name = block[:100].split(b"\0", 1)[0]
        prefix = block[345:500].split(b"\0", 1)[0]
        if prefix and block[257:263] == b"ustar\0":
            name = prefix + b"/" + name
    return name.split(b"\0", 1)[0]


def _read_pax(text: bytes, extensions: dict[bytes, bytes], sparse_pairs: list[int]) -> None:
    """Add a pax header's records, "length keyword=value\\n" each, to what is known of the member."""
    position = 0
    while position < len(text):
        length_text, _, _ = text[position : position + 20].partition(b" ")
        length = _decimal(length_text)
        record = text[position + len(length_text) + 1 : position + length - 1]
        keyword, equals, value = record.partition(b"=")
        if (
            length <= len(length_text)
            or not equals
            or text[position + length - 1 : position + length] != b"\n"
        ):
            raise _damaged("A pax header's record is malformed.")
        if keyword in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse_pairs.append(_decimal(value))
        elif keyword == b"GNU.sparse.map":
            sparse_pairs[:] = [_decimal(number) for number in value.split(b",")]
        elif keyword in (b"size", b"GNU.sparse.size", b"GNU.sparse.realsize"):
            extensions[keyword] = b"%d" % _decimal(value)
        else:
            extensions[keyword] = value
        position += length


def _sparse_fields(fields: bytes) -> list[int]:
    numbers = [_number(fields[i : i + 12]) for i in range(0, len(fields) // 12 * 12, 12)]
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [number for pair in pairs if pair[1] for number in pair]


def _paired(numbers: list[int]) -> Segments:
    segments = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    ends = [offset + n_bytes for offset, n_bytes in segments]
    if any(end > following[0] for end, following in zip(ends, segments[1:], strict=False)):
        raise _damaged("The pieces of a sparse file are out of order.")
    return segments


def _with_holes(read_at: ReadAt, segments: Segments, size_bytes: int) -> ReadAt:
    """Return the bytes of a sparse file: what is stored where its map says, zeros between."""
    starts = [offset for offset, _ in segments]
    stored_starts = [0]
    for _, n_bytes in segments:
        stored_starts.append(stored_starts[-1] + n_bytes)

    def read_filled(offset: int, size: int) -> bytes:
        size = min(size, size_bytes - offset)
        i = bisect_right(starts, offset) - 1
        within = offset - starts[i] if i >= 0 else 0
        if i >= 0 and within < segments[i][1]:
            return read_at(stored_starts[i] + within, min(size, segments[i][1] - within))
        hole_end = starts[i + 1] if i + 1 < len(starts) else size_bytes
        return bytes(min(size, hole_end - offset))

    return read_filled
