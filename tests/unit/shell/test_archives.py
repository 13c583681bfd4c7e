"""Members of archives come out under the names and sizes stored, bombs and damage with a reason."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from spinescore.errors import ArchiveError, DecodingError, SpineScoreError
from spinescore.shell.archive.archives import find_members, is_archive
from spinescore.shell.archive.locations import Candidate, describe_path, open_location

ODD_NAMES = [
    "Wirbelsäule.dcm".encode("latin-1"),
    "척추.dcm".encode("euc-kr"),
    "腰椎.dcm".encode("shift-jis"),
    "Wirbelsäule.dcm".encode(),
    b"two\nlines.dcm",
    b"/etc/passwd",
    b"../../etc/passwd",
    b"C:\\images\\1",
    b"long/" * 60 + b"name.dcm",
]
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".tar.zst": zstandard.compress,
    ".TZST": zstandard.compress,
}


def tar_of(
    members: dict[bytes, bytes], form: int = tarfile.GNU_FORMAT, extra: tuple[tarfile.TarInfo, ...] = ()
) -> bytes:
    """Names go in as surrogates, which tarfile writes as the bytes they stand for."""
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return file.getvalue()


def zip_of(
    members: list[tuple[bytes, bytes]], method: int = zipfile.ZIP_DEFLATED, utf8_flag: bool = False
) -> bytes:
    """Written by hand, since zipfile writes names as cp437 or UTF-8 only."""
    local, central = b"", b""
    for name, content in members:
        packed = zlib.compress(content, wbits=-15) if method == zipfile.ZIP_DEFLATED else content
        flags = 0x800 if utf8_flag else 0
        sizes = struct.pack("<3I", zlib.crc32(content), len(packed), len(content))
        offset = len(local)
        local += struct.pack("<4s5H", b"PK\3\4", 20, flags, method, 0, 33) + sizes
        local += struct.pack("<2H", len(name), 0) + name + packed
        central += struct.pack("<4s6H", b"PK\1\2", 20, 20, flags, method, 0, 33) + sizes
        central += struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0, offset) + name
    n = len(members)
    return (
        local
        + central
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, n & 0xFFFF, n & 0xFFFF, len(central), len(local), 0)
    )


@pytest.fixture
def store(tmp_path: Path) -> Callable[[str, bytes], Candidate]:
    def write(name: str, content: bytes) -> Candidate:
        (tmp_path / name).write_bytes(content)
        return describe_path(os.fsencode(tmp_path / name))

    return write


Store = Callable[[str, bytes], Candidate]


def name_of(archive: Candidate, member: Candidate) -> bytes:
    return member.path_bytes.removeprefix(archive.path_bytes + b"\0")


def contents(archive: Candidate) -> dict[bytes, bytes]:
    found = {}
    for member in find_members(archive):
        assert member.refusal is None
        with open_location(member.path_bytes) as handle:
            found[name_of(archive, member)] = handle.read()
    return found


def reasons(archive: Candidate) -> dict[bytes, tuple[str, str] | None]:
    return {
        name_of(archive, member): member.refusal and member.refusal[:2] for member in find_members(archive)
    }


def list_damaged(archive: Candidate) -> tuple[list[Candidate], ArchiveError]:
    found: list[Candidate] = []
    with pytest.raises(ArchiveError) as raised:
        found.extend(find_members(archive))
    return found, raised.value


def read_failure(location: bytes) -> str:
    with pytest.raises(DecodingError) as raised, open_location(location) as handle:
        handle.read()
    return raised.value.reason


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_keep_names_as_stored(store: Store, suffix: str, form: int) -> None:
    members = {name: b"%d" % i * (i * 700 + 1) for i, name in enumerate(ODD_NAMES)}
    archive = store("a" + suffix, COMPRESSIONS[suffix](tar_of(members, form)))
    assert is_archive(archive)
    assert contents(archive) == members


@pytest.mark.parametrize("utf8_flag", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_keep_names_as_stored_even_where_the_utf8_flag_lies(
    store: Store, method: int, utf8_flag: bool
) -> None:
    members = {name: b"%d" % i * (i * 700 + 1) for i, name in enumerate(ODD_NAMES)}
    assert contents(store("a.ZIP", zip_of(list(members.items()), method, utf8_flag))) == members


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_what_zipfile_writes_is_read(store: Store, method: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.comment = b"a comment with PK\5\6 in it"
        archive.mkdir("folder")
        archive.writestr("folder/1", b"abc" * 30_000)
        with archive.open("folder/zip64", "w", force_zip64=True) as member:
            member.write(b"x" * 100)
    found = contents(store("a.zip", b"put before it" + file.getvalue()))
    assert found == {b"folder/1": b"abc" * 30_000, b"folder/zip64": b"x" * 100}


def test_zstandard_in_a_zip_is_read(store: Store) -> None:
    packed = zstandard.compress(b"abc" * 1000)
    content = zip_of([(b"1", packed)], method=93)
    sizes = struct.pack("<3I", zlib.crc32(packed), len(packed), len(packed))
    right = struct.pack("<3I", zlib.crc32(b"abc" * 1000), len(packed), 3000)
    assert contents(store("a.zip", content.replace(sizes, right))) == {b"1": b"abc" * 1000}


def test_a_zip_streamed_without_seeking_is_read(store: Store) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1", b"abc" * 1000)
        archive.writestr("2", b"x")
    assert contents(store("a.zip", pipe.getvalue())) == {b"1": b"abc" * 1000, b"2": b"x"}


def test_a_zip64_directory_is_read(store: Store) -> None:
    """More than 65,535 members need one; and so many are listed in seconds."""
    content = zip_of([(b"d/%06d" % i, b"x") for i in range(3)])
    end = len(content) - 22
    _, _, _, count, _, size, offset, _ = struct.unpack("<4s4H2IH", content[end:])
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    stub = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    archive = store("a.zip", content[:end] + end64 + locator + stub)
    assert list(contents(archive)) == [b"d/000000", b"d/000001", b"d/000002"]


@pytest.mark.parametrize("make", [lambda m: zip_of(m), lambda m: doubled_tar(m)], ids=["a.zip", "a.tar"])
def test_members_of_one_name_are_all_there(
    store: Store, make: Callable[[list[tuple[bytes, bytes]]], bytes]
) -> None:
    content = make([(b"n", b"1"), (b"n", b"2"), (b"m", b"3"), (b"n", b"4")])
    archive = store("a.zip" if content.startswith(b"PK") else "a.tar", content)
    assert contents(archive) == {b"n": b"1", b"n\x002": b"2", b"m": b"3", b"n\x003": b"4"}
    assert [m.path for m in find_members(archive)][1].endswith("!/n#2")


def doubled_tar(members: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(tar_of({name: content})[:1024] for name, content in members) + bytes(1024)


def test_a_name_with_a_nul_ends_there(store: Store) -> None:
    assert contents(store("a.zip", zip_of([(b"a\0evil", b"1"), (b"a", b"2")]))) == {
        b"a": b"1",
        b"a\x002": b"2",
    }


def test_what_is_no_file_or_an_archive_again_is_refused(store: Store) -> None:
    kinds = {
        "link": tarfile.SYMTYPE,
        "hard": tarfile.LNKTYPE,
        "pipe": tarfile.FIFOTYPE,
        "dev": tarfile.CHRTYPE,
    }
    infos = []
    for name, kind in {**kinds, "folder": tarfile.DIRTYPE}.items():
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        infos.append(info)
    archive = store("a.tar", tar_of({b"in.tar.gz": b"x", b"in.ZIP": b"x", b"empty": b""}, extra=tuple(infos)))
    assert reasons(archive) == {
        b"in.tar.gz": ("excluded", "nested_archive"),
        b"in.ZIP": ("excluded", "nested_archive"),
        b"empty": ("rejected", "empty"),
        **{name.encode(): ("excluded", "not_regular") for name in kinds},
    }


def test_a_link_kept_in_a_zip_is_refused(store: Store) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert reasons(store("a.zip", file.getvalue())) == {b"link": ("excluded", "not_regular")}


def test_a_member_in_need_of_a_password_is_refused(store: Store) -> None:
    content = bytearray(zip_of([(b"1", b"x" * 100), (b"2", b"y")]))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    archive = store("a.zip", bytes(content))
    assert reasons(archive) == {b"1": ("rejected", "encrypted"), b"2": None}
    assert read_failure(archive.path_bytes + b"\x001") == "encrypted"


def test_a_compression_unknown_here_is_refused(store: Store) -> None:
    archive = store("a.zip", zip_of([(b"1", b"x" * 100)], method=9))
    assert reasons(archive) == {b"1": ("rejected", "archive_damaged")}
    assert read_failure(archive.path_bytes + b"\x001") == "archive_damaged"


def test_a_member_cut_off_or_changed_is_found_out_at_reading(store: Store) -> None:
    content = bytearray(zip_of([(b"1", b"x" * 100), (b"2", b"y" * 100)], method=zipfile.ZIP_STORED))
    content[40] ^= 1
    archive = store("a.zip", bytes(content))
    assert reasons(archive) == {b"1": None, b"2": None}
    assert read_failure(archive.path_bytes + b"\x001") == "archive_damaged"
    with open_location(archive.path_bytes + b"\x002") as handle:
        assert handle.read() == b"y" * 100


def test_damaged_deflate_is_found_out_at_reading(store: Store) -> None:
    content = bytearray(zip_of([(b"1", bytes(range(256)) * 100)]))
    content[40:60] = b"\xff" * 20
    archive = store("a.zip", bytes(content))
    assert read_failure(archive.path_bytes + b"\x001") == "archive_damaged"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\x09\x04\x05\0\x5d\xff\xff\xff\x7f", "inflate_limit"),  # a dictionary of 2 GB
        (b"\x09\x04\x05\0\x1a\0\0\1\0", "archive_damaged"),  # lc + lp beyond 4
        (b"\x09\x04\x05\0\xff\0\0\1\0", "archive_damaged"),
        (b"\x09", "archive_damaged"),
    ],
)
def test_lzma_settings_made_to_harm_are_refused(store: Store, head: bytes, reason: str) -> None:
    archive = store("a.zip", zip_of([(b"1", head)], method=zipfile.ZIP_LZMA))
    assert read_failure(archive.path_bytes + b"\x001") == reason


def test_a_zip_cut_off_gives_what_lies_before_the_cut(store: Store) -> None:
    content = zip_of([(b"1", b"x" * 100), (b"2", os.urandom(1000)), (b"3", b"z")])
    archive = store("a.zip", content[:700])
    found, error = list_damaged(archive)
    assert ([name_of(archive, m) for m in found], error.reason) == ([b"1", b"2"], "archive_damaged")
    with open_location(found[0].path_bytes) as handle:
        assert handle.read() == b"x" * 100
    assert read_failure(found[1].path_bytes) == "archive_damaged"


@pytest.mark.parametrize("content", [b"not a zip", b"PK\5\6", b"PK\5\6" + b"\xff" * 18, b"PK\1\2" * 50_000])
def test_what_is_no_zip_is_damaged(store: Store, content: bytes) -> None:
    found, error = list_damaged(store("a.zip", content))
    assert (found, error.reason) == ([], "archive_damaged")
    assert isinstance(error, SpineScoreError)


def test_a_directory_that_names_fewer_than_it_counts_is_damaged(store: Store) -> None:
    content = bytearray(zip_of([(b"1", b"x"), (b"2", b"y")]))
    content[content.rindex(b"PK\1\2")] = 0
    found, error = list_damaged(store("a.zip", bytes(content)))
    assert (len(found), error.reason) == (1, "archive_damaged")


def test_a_directory_pointing_anywhere_is_damaged(store: Store) -> None:
    content = bytearray(zip_of([(b"1", b"x" * 100)]))
    at = content.index(b"PK\1\2") + 42
    content[at : at + 4] = struct.pack("<I", 0x7FFFFFFF)
    archive = store("a.zip", bytes(content))
    assert read_failure(archive.path_bytes + b"\x001") == "archive_damaged"


@pytest.mark.parametrize("suffix", [s for s in COMPRESSIONS if s != ".TZST"])
def test_a_tar_cut_off_gives_what_lies_before_the_cut(store: Store, suffix: str) -> None:
    """bzip2 gives nothing of a block that is not whole, so each member is a stream of its own."""
    members = {b"%d" % i: os.urandom(100_000) for i in range(8)}
    whole = tar_of(members)
    packed = b"".join(COMPRESSIONS[suffix](whole[i : i + 100_864]) for i in range(0, len(whole), 100_864))
    archive = store("a" + suffix, packed[: len(packed) * 11 // 20])
    found, error = list_damaged(archive)
    assert (4 <= len(found) <= 5, error.reason) == (True, "archive_damaged")
    with open_location(found[1].path_bytes) as handle:
        assert handle.read() == members[b"1"]
    if suffix != ".tar.bz2":
        assert read_failure(found[-1].path_bytes) == "archive_damaged"


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_what_is_no_tar_is_damaged(store: Store, suffix: str) -> None:
    for content in (
        b"x" * 2000,
        COMPRESSIONS[suffix](b"x" * 2000),
        COMPRESSIONS[suffix](tar_of({b"a": b"x"}))[3:],
    ):
        found, error = list_damaged(store("a" + suffix, content))
        assert (found, error.reason) == ([], "archive_damaged")


def test_a_changed_byte_in_a_gzip_is_found_out_by_its_checksum(store: Store) -> None:
    content = bytearray(gzip.compress(tar_of({b"1": os.urandom(5000)}), compresslevel=0))
    content[2000] ^= 1
    _, error = list_damaged(store("a.tar.gz", bytes(content)))
    assert error.reason == "archive_damaged"


def test_compression_is_known_by_content_whatever_the_name(store: Store) -> None:
    content = tar_of({b"1": b"x"})
    assert (
        contents(store("a.tar.gz", content))
        == contents(store("b.tar", gzip.compress(content)))
        == {b"1": b"x"}
    )


def test_archives_one_after_the_other_are_all_read(store: Store) -> None:
    first, second = tar_of({b"1": b"x"}), tar_of({b"2": b"y"})
    assert list(contents(store("a.tar", first + second))) == [b"1", b"2"]
    joined = gzip.compress(first) + bytes(512) + gzip.compress(second)
    assert list(contents(store("a.tar.gz", joined))) == [b"1", b"2"]


@pytest.mark.parametrize("form", ["gnu", "0.0", "0.1", "1.0"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_sparse_members_have_their_holes_filled(
    store: Store, form: str, compress: Callable[[bytes], bytes]
) -> None:
    """The four ways GNU tar writes them: 3 pieces, the last at the end, 10,000 bytes in all."""
    pieces = [(1000, b"a" * 700), (5000, b"b"), (9990, b"c" * 10)]
    data = b"".join(piece for _, piece in pieces)
    whole = bytearray(10_000)
    for offset, piece in pieces:
        whole[offset : offset + len(piece)] = piece
    content = sparse_tar(form, [(offset, len(piece)) for offset, piece in pieces], data, 10_000)
    archive = store("a.tar.gz", compress(content))
    (member, after) = find_members(archive)
    assert (name_of(archive, member), member.size_bytes, name_of(archive, after)) == (
        b"sparse",
        10_000,
        b"after",
    )
    with open_location(member.path_bytes) as handle:
        assert handle.read() == whole
        handle.seek(5000)
        assert handle.read(2) == b"b\0"


def header(name: bytes, size: int, kind: bytes, tail: bytes = b"") -> bytes:
    block = name.ljust(100, b"\0") + b"0000644\0" * 3 + b"%011o\0" % size + b"%011o\0" % 0 + b" " * 8 + kind
    block = (block + bytes(100) + (b"ustar  \0" if kind == b"S" else b"ustar\x0000")).ljust(386, b"\0") + tail
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[str, str]) -> bytes:
    text = b""
    for keyword, value in records:
        body = f" {keyword}={value}\n".encode()
        length = next(n for n in range(len(body), len(body) + 9) if len(str(n)) + len(body) == n)
        text += str(length).encode() + body
    return header(b"pax", len(text), b"x") + padded(text)


def sparse_tar(form: str, pieces: list[tuple[int, int]], data: bytes, size: int) -> bytes:
    numbers = [str(n) for piece in pieces for n in piece]
    after = header(b"after", 1, b"0") + padded(b"x") + bytes(1024)
    if form == "gnu":
        fields = b"".join(b"%011o\0" % int(n) for n in numbers).ljust(96, b"\0")
        tail = fields + b"\0" + b"%011o\0" % size
        return header(b"sparse", len(data), b"S", tail) + padded(data) + after
    if form == "0.0":
        pairs = [
            (f"GNU.sparse.{k}", str(n))
            for piece in pieces
            for k, n in zip(("offset", "numbytes"), piece, strict=True)
        ]
        records = [("GNU.sparse.size", str(size)), ("GNU.sparse.numblocks", str(len(pieces))), *pairs]
        return pax(*records) + header(b"sparse", len(data), b"0") + padded(data) + after
    if form == "0.1":
        records = [
            ("GNU.sparse.size", str(size)),
            ("GNU.sparse.name", "sparse"),
            ("GNU.sparse.map", ",".join(numbers)),
        ]
        return pax(*records) + header(b"x/sparse", len(data), b"0") + padded(data) + after
    records = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]
    records += [("GNU.sparse.name", "sparse"), ("GNU.sparse.realsize", str(size))]
    listed = padded("\n".join([str(len(pieces)), *numbers, ""]).encode())
    return pax(*records) + header(b"x/sparse", len(listed + data), b"0") + listed + padded(data) + after


@pytest.mark.parametrize(
    "content",
    [
        header(b"long", 1 << 33, b"L"),
        header(b"pax", 1 << 33, b"x"),
        header(b"long", 4, b"L") * 100_000,
        pax(("path", "a")) * 10_000,
        header(b"pax", 512, b"x") + b"9" * 512,
        header(b"pax", 20, b"x") + padded(b"0 path=a\n" * 3),
        pax(("size", "-1")) + header(b"a", 1, b"0"),
        pax(("GNU.sparse.major", "1")) + header(b"a", 1 << 40, b"0") + b"9999999999\n" * 100,
        pax(("GNU.sparse.size", "9"), ("GNU.sparse.map", "5,5,0,5")) + header(b"a", 10, b"0") + bytes(512),
        header(b"s", 1, b"S", bytes(96) + b"\1" + b"%011o\0" % 9)
        + (bytes(504) + b"\1".ljust(8, b"\0")) * 3000,
        header(b"a", 1, b"0").replace(b"00000000001", b"9999999999z"),
    ],
)
@pytest.mark.timeout(20)
def test_headers_made_to_harm_end_the_listing(store: Store, content: bytes) -> None:
    for packed in (content, zstandard.compress(content)):
        found, error = list_damaged(store("a.tar", packed))
        assert (found, error.reason) == ([], "archive_damaged")


def test_a_member_that_claims_more_than_is_there_ends_the_listing(store: Store) -> None:
    found, error = list_damaged(store("a.tar", header(b"a", (1 << 33) - 1, b"0")))
    assert (len(found), error.reason) == (1, "archive_damaged")
    assert read_failure(found[0].path_bytes) == "archive_damaged"


@contextlib.contextmanager
def measured() -> Iterator[list[int]]:
    """The most bytes that were allocated at a time meanwhile, there when it is over."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


def claim(content: bytes, stated: int) -> bytes:
    """Change the size that the only member of a zip claims to have, in its directory."""
    at = content.index(b"PK\1\2") + 24
    return content[:at] + struct.pack("<I", stated) + content[at + 4 :]


def test_a_zip_that_claims_the_impossible_is_a_bomb(store: Store) -> None:
    """Deflate reaches 1,032 to 1 and no more: 4 GB from 42 KB is a lie."""
    archive = store("a.zip", claim(zip_of([(b"1", os.urandom(42_000))]), 0xFFFFFFF0))
    assert reasons(archive) == {b"1": ("rejected", "inflate_limit")}
    assert read_failure(archive.path_bytes + b"\x001") == "inflate_limit"


def test_a_zip_that_holds_more_than_it_claims_is_a_bomb(store: Store) -> None:
    archive = store("a.zip", claim(zip_of([(b"1", bytes(50_000_000))]), 1000))
    with measured() as peak:
        assert read_failure(archive.path_bytes + b"\x001") == "inflate_limit"
    assert peak[0] < 2_000_000


def test_members_that_overlap_are_a_bomb(store: Store) -> None:
    """Each member's bytes include the headers and bytes of those after it, as D. Fifield's bombs have it."""
    content = bytearray(zip_of([(b"1", b"x" * 100), (b"2", b"y" * 100)], method=zipfile.ZIP_STORED))
    at = content.index(b"PK\1\2") + 20
    content[at : at + 8] = struct.pack("<2I", 200, 200)
    archive = store("a.zip", bytes(content))
    assert read_failure(archive.path_bytes + b"\x001") == "inflate_limit"


def test_opening_a_large_member_inflates_what_is_read_and_no_more(store: Store) -> None:
    archive = store("a.zip", zip_of([(b"1", bytes(300_000_000))]))
    started = time.process_time()
    with measured() as peak, open_location(archive.path_bytes + b"\x001") as handle:
        assert handle.read(8192) == bytes(8192)
    assert time.process_time() - started < 0.2
    assert peak[0] < 2_000_000


def bomb() -> bytes:
    """A Zstandard tar of members of zeros, 40 MB in all behind a few KB."""
    return zstandard.compress(
        b"".join(header(b"%d" % i, 1 << 22, b"0") + bytes(1 << 22) for i in range(10)) + bytes(1024)
    )


def test_a_tar_that_inflates_without_end_is_a_bomb(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spinescore.shell.archive.tar_members.INFLATED_FLOOR_BYTES", 20_000_000)
    archive = store("a.tar.zst", bomb())
    with measured() as peak:
        found, error = list_damaged(archive)
    assert (len(found), error.reason) == (5, "inflate_limit")
    assert peak[0] < 2_000_000


def test_a_compressed_member_is_not_held_beyond_its_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinescore.shell.archive.member_io.KEPT_LIMIT_BYTES", 1_000_000)
    archive = store("a.tar.zst", bomb())
    assert read_failure(archive.path_bytes + b"\x003") == "inflate_limit"


def test_a_sparse_member_of_nothing_but_holes_is_a_bomb(store: Store) -> None:
    content = (
        pax(("GNU.sparse.size", "9" * 15), ("GNU.sparse.map", "0,1"))
        + header(b"a", 1, b"0")
        + padded(b"x")
        + bytes(1024)
    )
    archive = store("a.tar", content)
    assert reasons(archive) == {b"a": ("rejected", "inflate_limit")}
    assert read_failure(archive.path_bytes + b"\0a") == "inflate_limit"


@pytest.mark.timeout(60)
def test_a_hundred_thousand_members_are_listed_in_seconds(store: Store) -> None:
    """About half a second on an idle core; the bound leaves room for a busy one."""
    file = io.BytesIO()
    names = [b"d/%06d" % i for i in range(100_000)]
    sizes = struct.pack("<3I", zlib.crc32(b"x"), 1, 1)
    for name in names:
        file.write(struct.pack("<4s6H", b"PK\1\2", 20, 20, 0, 0, 0, 33) + sizes)
        file.write(struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0, 0) + name)
    count = len(names) & 0xFFFF
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, file.tell(), 0, 0)
    archive = store("a.zip", file.getvalue() + end)
    started = time.process_time()
    assert [name_of(archive, m) for m in find_members(archive)] == names
    assert time.process_time() - started < 5


def test_an_archive_is_known_by_its_suffix(store: Store) -> None:
    known = [
        "a.zip",
        "a.tar",
        "a.tar.gz",
        "a.tgz",
        "a.tar.zst",
        "a.tzst",
        "a.tar.bz2",
        "a.tar.xz",
        "A.TAR.GZ",
    ]
    others = ["a.dcm", "a.gz", "zip", "tar.gz.dcm", "a.zip.part", "targz"]
    assert [is_archive(store(name, b"x")) for name in known + others] == [True] * len(known) + [False] * len(
        others
    )
    assert not is_archive(store("empty.zip", b""))
    assert not is_archive(Candidate(b"a.zip\0b.zip", 1, 1))


def test_an_archive_that_is_not_there_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(find_members(Candidate(os.fsencode(tmp_path / "gone.zip"), 1, 1)))


def test_nothing_is_written_to_disk(store: Store, tmp_path: Path) -> None:
    archive = store("a.zip", zip_of([(b"../evil", b"x"), (b"/tmp/evil", b"x")]))
    contents(archive)
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]
    assert "evil" not in os.listdir(tmp_path.parent)
