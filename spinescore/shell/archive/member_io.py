"""Bytes inside an archive, read where they lie: inflated as far as asked for, never unpacked.

Every archive here may be damaged or made to harm, so nothing is allocated because a header
claims it, every inflated byte is counted, and every failure is an ``ArchiveError`` with a reason.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import weakref
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, cast

import zstandard

from spinescore.errors import ArchiveError

ReadAt = Callable[[int, int], bytes]  # (offset, at most so many bytes) -> bytes; short only at the end
Read = Callable[[int], bytes]  # at most so many bytes from where the last call ended; b"" at the end

COMPRESSED_CHUNK_BYTES = 1 << 16
SKIP_BYTES = 1 << 18
HANDLE_BUFFER_BYTES = 1 << 13  # a header, mostly: more would be inflated in vain
KEPT_LIMIT_BYTES = 1 << 30  # of what cannot be inflated twice, in memory while it is open
MEMBER_LIMIT_BYTES = 1 << 32  # no radiograph is larger
DECODER_MEMORY_BYTES = 1 << 28  # xz -9 asks for 65 MiB, zstd --long=27 for 128 MiB


class ArchiveFile:
    """An archive's bytes on disk; closed when nothing refers to it any more.

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: bytes) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self.size_bytes = os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes there; fewer at the end of the file."""
        if not 0 <= offset < self.size_bytes:
            return b""
        return os.pread(self._descriptor, min(size, self.size_bytes - offset), offset)

    def reader(self, start: int, end: int) -> Read:
        """Return a function that reads on from ``start`` to ``end``."""
        position = start

        def read(size: int) -> bytes:
            nonlocal position
            data = self.read_at(position, min(size, end - position)) if position < end else b""
            position += len(data)
            return data

        return read


class MemberIndex:
    """Which member of an archive lies at which offset: some hundred bytes a member, names not kept."""

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}
        self._repeats: dict[bytes, int] = {}

    def add(self, name: bytes, offset: int) -> int:
        """Add a member and return the how-manieth of that name it is (1, mostly)."""
        nth = 1
        if hash((name, 1)) in self._offsets:
            nth = self._repeats.get(name, 1) + 1
            self._repeats[name] = nth
        self._offsets[hash((name, nth))] = offset
        return nth

    def find(self, name: bytes, nth: int) -> int | None:
        """Return the offset of the n-th member of that name, or None."""
        return self._offsets.get(hash((name, nth)))


class Decompressor(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end mark of the compressed stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more compressed bytes are needed to go on."""

    @property
    def unused_data(self) -> bytes:
        """What followed the end mark."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most ``max_length`` more bytes."""


class Deflated:
    """zlib's decompressor in the shape of bz2's and lzma's."""

    def __init__(self, window_bits: int) -> None:
        self._stream = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the end mark of the compressed stream was reached."""
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        """What followed the end mark."""
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most ``max_length`` more bytes."""
        inflated = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self.needs_input = len(inflated) < max_length
        return inflated


class Inflater:
    """Reads on from compressed bytes, inflating no more than is asked for.

    Compressed streams one after the other are one stream, as gzip, bzip2 and xz have it.
    The end of the compressed bytes is an end, whether or not there was an end mark: how long
    the result must be is known to the archive's own format.
    """

    def __init__(self, read: Read, start: Callable[[], Decompressor]) -> None:
        self._read = read
        self._start = start
        self._decompressor = self._begin()
        self._pending = b""

    def read(self, size: int) -> bytes:
        """Return at least one and at most ``size`` bytes, or b"" at the end.

        Raises
        ------
        ArchiveError
            If the compressed bytes are damaged or need too much memory.
        """
        while True:
            if self._decompressor.eof and not self._start_next():
                return b""
            data, self._pending = self._pending, b""
            if self._decompressor.needs_input and not data:
                data = self._read(COMPRESSED_CHUNK_BYTES)
                if not data:
                    return b""
            inflated = self._inflate(data, size)
            if inflated:
                return inflated

    def _begin(self) -> Decompressor:
        try:
            return self._start()
        except lzma.LZMAError as error:  # settings that it does not have
            raise _damage(error) from error

    def _inflate(self, data: bytes, size: int) -> bytes:
        try:
            return self._decompressor.decompress(data, size)
        except (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
            raise _damage(error) from error

    def _start_next(self) -> bool:
        following = self._decompressor.unused_data.lstrip(b"\0")  # tapes and xz pad with zeros
        while not following:
            chunk = self._read(COMPRESSED_CHUNK_BYTES)
            if not chunk:
                return False
            following = chunk.lstrip(b"\0")
        self._decompressor = self._begin()
        self._pending = following
        return True


class _Source:
    """A ``Read`` in the shape that zstandard wants."""

    def __init__(self, read: Read) -> None:
        self.read = read


def inflate_zstandard(read: Read) -> Read:
    """Return a function that reads on from Zstandard frames (RFC 8878), inflating what is asked for."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=DECODER_MEMORY_BYTES)
    reader = decompressor.stream_reader(
        cast("BinaryIO", _Source(read)), read_size=COMPRESSED_CHUNK_BYTES, read_across_frames=True
    )

    def read_inflated(size: int) -> bytes:
        try:
            return reader.read(size)
        except zstandard.ZstdError as error:
            raise _damage(error) from error

    return read_inflated


def _damage(error: Exception) -> ArchiveError:
    reason = "inflate_limit" if "memory" in str(error).lower() else "archive_damaged"
    return ArchiveError(reason, f"The compressed bytes cannot be inflated: {error}.")


def inflate(read: Read, first_bytes: bytes) -> Read | None:
    """Return a function that reads on from the inflated bytes of a gzip, bzip2, xz or Zstandard file.

    What a file begins with decides, whatever its name says; None if it is none of these.
    """
    if first_bytes.startswith(b"\x1f\x8b"):
        return Inflater(read, lambda: Deflated(16 + zlib.MAX_WBITS)).read
    if first_bytes.startswith(b"BZh"):
        return Inflater(read, bz2.BZ2Decompressor).read
    if first_bytes.startswith(b"\xfd7zXZ\0"):
        return Inflater(read, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, DECODER_MEMORY_BYTES)).read
    if first_bytes[:4] == b"\x28\xb5\x2f\xfd" or (
        first_bytes[1:4] == b"\x2a\x4d\x18" and first_bytes[0] & 0xF0 == 0x50  # a skippable frame
    ):
        return inflate_zstandard(read)
    return None


class ForwardStream:
    """Bytes that can only be had in order, asked for by offset: going back starts again.

    Parameters
    ----------
    start : callable
        Returns a function that reads on from the first byte.
    limit_bytes : int
        How many bytes may be inflated before this counts as a bomb.
    """

    def __init__(self, start: Callable[[], Read], limit_bytes: int) -> None:
        self._start = start
        self._limit_bytes = limit_bytes
        self._read: Read | None = None
        self._position = 0

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes there; fewer at the end.

        Raises
        ------
        ArchiveError
            If they are damaged or lie beyond the limit.
        """
        if self._read is None or offset < self._position:
            self._read, self._position = self._start(), 0
        try:
            while self._position < offset:
                if not self._go_on(min(SKIP_BYTES, offset - self._position)):
                    return b""
            return self._collect(size)
        except ArchiveError:
            self._read = None  # a decompressor that failed cannot go on
            raise

    def _collect(self, size: int) -> bytes:
        first = self._go_on(size)
        if len(first) in (0, size):
            return first
        chunks, n_bytes = [first], len(first)
        while n_bytes < size:
            chunk = self._go_on(min(SKIP_BYTES, size - n_bytes))
            if not chunk:
                break
            chunks.append(chunk)
            n_bytes += len(chunk)
        return b"".join(chunks)

    def _go_on(self, size: int) -> bytes:
        assert self._read is not None
        data = self._read(size)
        self._position += len(data)
        if self._position > self._limit_bytes:
            raise ArchiveError("inflate_limit", f"It inflates to more than {self._limit_bytes} bytes.")
        return data


def window(read_at: ReadAt, start: int, size: int) -> ReadAt:
    """Return how to read the ``size`` bytes from ``start`` on, as if there were no others."""
    return lambda offset, n: read_at(start + offset, max(0, min(n, size - offset)))


def keeping(read_at: ReadAt) -> ReadAt:
    """Return the same bytes, each asked for once: those before the furthest are kept in memory."""
    kept = bytearray()

    def read_kept(offset: int, size: int) -> bytes:
        if offset + size > KEPT_LIMIT_BYTES:
            raise ArchiveError("inflate_limit", f"It inflates to more than {KEPT_LIMIT_BYTES} bytes.")
        missing = offset + size - len(kept)
        if missing > 0:
            kept.extend(read_at(len(kept), missing))
        return bytes(memoryview(kept)[offset : offset + size])

    return read_kept


class _Member(io.RawIOBase):
    """A member of an archive as a file; ``open_member`` puts a buffer before it."""

    def __init__(self, read_at: ReadAt, size_bytes: int, crc32: int | None) -> None:
        self._read_at = read_at
        self._size_bytes = size_bytes
        self._position = 0
        self._expected_crc32 = crc32
        self._crc32 = 0
        self._summed_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"{base + offset} lies before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        wanted = min(len(buffer), self._size_bytes - self._position)
        if wanted <= 0:
            return 0
        data = self._read_at(self._position, wanted)
        if not data:
            raise ArchiveError(
                "archive_damaged", f"It ends after {self._position} of {self._size_bytes} bytes."
            )
        self._check(data)
        self._position += len(data)
        buffer[: len(data)] = data
        return len(data)

    def _check(self, data: bytes) -> None:
        """Sum what is read in order; whoever reads all of it learns whether it is what was stored."""
        if self._expected_crc32 is None or self._position != self._summed_bytes:
            return
        self._crc32 = zlib.crc32(data, self._crc32)
        self._summed_bytes += len(data)
        if self._summed_bytes == self._size_bytes and self._crc32 != self._expected_crc32:
            raise ArchiveError("archive_damaged", "Its checksum is not the one stored with it.")


def open_member(read_at: ReadAt, size_bytes: int, crc32: int | None = None) -> BinaryIO:
    """Return a member of an archive as a seekable file.

    Parameters
    ----------
    read_at : callable
        Returns the member's bytes at an offset.
    size_bytes : int
        How many it has; there is nothing to be read beyond.
    crc32 : int, optional
        Their checksum, verified if they are read in order to the last.
    """
    return io.BufferedReader(_Member(read_at, size_bytes, crc32), HANDLE_BUFFER_BYTES)
