"""A location opens to the very bytes stored there, anywhere in it, and says when it is gone."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import os
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.errors import DecodingError
from spinescore.shell.archive import member_io
from spinescore.shell.archive.archives import find_members
from spinescore.shell.archive.locations import (
    Candidate,
    describe_path,
    display_path,
    location_exists,
    member_location,
    open_location,
    stat_location,
)

NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=150
).filter(lambda name: not name.endswith("/"))
STORED = st.dictionaries(NAMES, st.binary(min_size=1, max_size=3000), min_size=1, max_size=6)
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".tar.zst": zstandard.compress,
}


def tar_of(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def write(folder: Path | str, name: str, content: bytes) -> Candidate:
    path = Path(folder) / name
    path.write_bytes(content)
    return describe_path(os.fsencode(path))


def read(location: bytes) -> bytes:
    with open_location(location) as handle:
        return handle.read()


@settings(max_examples=60)
@given(STORED, st.sampled_from(list(COMPRESSIONS)), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_whatever_a_tar_holds_under_whatever_name_comes_back(
    members: dict[str, bytes], suffix: str, form: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = write(folder, "a" + suffix, COMPRESSIONS[suffix](tar_of(members, form)))
        found = {m.path_bytes.split(b"\0")[1].decode(): read(m.path_bytes) for m in find_members(archive)}
    assert found == members


@settings(max_examples=60)
@given(
    STORED, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
)
def test_whatever_a_zip_holds_under_whatever_name_comes_back(members: dict[str, bytes], method: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = write(folder, "a.zip", zip_of(members, method))
        found = {m.path_bytes.split(b"\0")[1].decode(): read(m.path_bytes) for m in find_members(archive)}
    assert found == members


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60_000), st.integers(0, 20_000)), max_size=12),
    st.sampled_from(["a.zip", "stored.zip", *(f"a{suffix}" for suffix in COMPRESSIONS)]),
)
def test_reading_anywhere_in_any_order_is_like_reading_a_file(
    steps: list[tuple[int, int, int]], name: str
) -> None:
    """Several members open at once share one stream; each must still see its own bytes."""
    members = {str(i): (b"%06d," % i) * 9000 for i in range(3)}
    method = zipfile.ZIP_STORED if name.startswith("stored") else zipfile.ZIP_DEFLATED
    content = zip_of(members, method) if name.endswith("zip") else COMPRESSIONS[name[1:]](tar_of(members))
    with tempfile.TemporaryDirectory() as folder:
        archive = write(folder, name, content)
        handles = [open_location(member_location(archive.path_bytes, key.encode(), 1)) for key in members]
        for which, offset, size in steps:
            handles[which].seek(offset)
            assert handles[which].read(size) == members[str(which)][offset : offset + size]
        for handle in handles:
            handle.close()


@pytest.mark.parametrize("suffix", [s for s in COMPRESSIONS if s != ".tar"])
def test_reading_members_in_order_inflates_the_archive_once(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"{i:03}": os.urandom(5000) for i in range(50)}
    archive = write(tmp_path, "a" + suffix, COMPRESSIONS[suffix](tar_of(members)))
    locations = [member.path_bytes for member in find_members(archive)]
    inflated = 0
    go_on = member_io.ForwardStream._go_on

    def counted(stream: member_io.ForwardStream, size: int) -> bytes:
        nonlocal inflated
        data = go_on(stream, size)
        inflated += len(data)
        return data

    monkeypatch.setattr(member_io.ForwardStream, "_go_on", counted)
    for location in locations:
        with open_location(location) as handle:
            handle.read(100)
        assert len(read(location)) == 5000  # opened again, as decoding does after reading the header
        assert stat_location(location)[0] == 5000
    assert inflated < 1.1 * len(tar_of(members))


def test_members_can_be_read_backwards_too(tmp_path: Path) -> None:
    members = {str(i): b"%d" % i * 1000 for i in range(5)}
    archive = write(tmp_path, "a.tar.gz", gzip.compress(tar_of(members)))
    locations = [member.path_bytes for member in find_members(archive)]
    for order in itertools.permutations(range(5), 3):
        assert [read(locations[i]) for i in order] == [members[str(i)] for i in order]


def test_seeking_is_as_in_a_file(tmp_path: Path) -> None:
    archive = write(tmp_path, "a.zip", zip_of({"1": bytes(range(200))}))
    with open_location(archive.path_bytes + b"\x001") as handle:
        assert handle.seekable()
        assert handle.seek(-5, os.SEEK_END) == 195
        assert handle.read() == bytes(range(195, 200))
        assert handle.seek(1000) == 1000
        assert handle.read(1) == b""
        handle.seek(10)
        assert handle.seek(5, os.SEEK_CUR) == handle.tell() == 15
        with pytest.raises((ValueError, OSError)):
            handle.seek(-1)


def test_a_file_is_opened_and_nothing_else_is(tmp_path: Path) -> None:
    """A FIFO must not make us wait, a folder or a device not be read."""
    (tmp_path / "f").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    assert read(os.fsencode(tmp_path / "f")) == b"abc"
    n_open = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="Not a regular file"):
            open_location(os.fsencode(path))
        with pytest.raises(OSError, match="Not a regular file"):
            open_location(os.fsencode(path) + b"\0member")
    assert len(os.listdir("/proc/self/fd")) == n_open


@pytest.mark.parametrize("suffix", [".zip", *COMPRESSIONS])
def test_what_is_there_exists_and_has_its_size_and_what_is_not_does_not(tmp_path: Path, suffix: str) -> None:
    members = {"in/1": b"abc", "2": b"x" * 5000}
    content = zip_of(members) if suffix == ".zip" else COMPRESSIONS[suffix](tar_of(members))
    archive = write(tmp_path, "a" + suffix, content)
    for member in find_members(archive):
        assert location_exists(member.path_bytes)
        assert stat_location(member.path_bytes) == (member.size_bytes, member.modified_ns)
    assert stat_location(archive.path_bytes) == (len(content), archive.modified_ns)
    for gone in (
        b"\0in",
        b"\0in/1\x002",
        b"\0in/1\0x",
        b"\0in/1\x000",
        b"\0",
        b".gone",
        b"/in/1",
        b".gone\x002",
    ):
        assert not location_exists(archive.path_bytes + gone)
        with pytest.raises(FileNotFoundError):
            stat_location(archive.path_bytes + gone)
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            open_location(archive.path_bytes + gone)


def test_a_member_of_what_is_no_archive_does_not_exist(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar.gz", "DICOMDIR"):
        path = write(tmp_path, name, b"x" * 2000).path_bytes
        assert not location_exists(path + b"\0member")


def test_an_archive_written_anew_is_read_anew(tmp_path: Path) -> None:
    for i in range(3):
        archive = write(tmp_path, "a.zip", zip_of({"1": b"%d" % i * (i + 1)}))
        assert read(archive.path_bytes + b"\x001") == b"%d" % i * (i + 1)


def test_archives_read_one_after_the_other_do_not_stay_open(tmp_path: Path) -> None:
    n_open = len(os.listdir("/proc/self/fd"))
    for i in range(50):
        archive = write(tmp_path, f"{i}.tar", tar_of({"1": b"x"}))
        assert read(archive.path_bytes + b"\x001") == b"x"
    assert len(os.listdir("/proc/self/fd")) < n_open + 10


def test_a_handle_outlives_its_archive_in_the_cache(tmp_path: Path) -> None:
    first = write(tmp_path, "first.zip", zip_of({"1": b"abc" * 50_000}))
    with open_location(first.path_bytes + b"\x001") as handle:
        assert handle.read(3) == b"abc"
        for i in range(20):
            read(write(tmp_path, f"{i}.zip", zip_of({"1": b"x"})).path_bytes + b"\x001")
        assert handle.read() == b"abc" * 49_999


def test_errors_travel_between_processes_with_their_reason(tmp_path: Path) -> None:
    archive = write(tmp_path, "a.tar.gz", gzip.compress(tar_of({"1": os.urandom(5000)}))[:2000])
    with pytest.raises(DecodingError) as raised:
        read(archive.path_bytes + b"\x001")
    assert raised.value.reason == "archive_damaged"
    assert raised.value.message


def test_candidates_travel_between_processes() -> None:
    candidate = Candidate(b"a\xff", 1, 2, ("rejected", "empty", ""))
    assert pickle.loads(pickle.dumps(candidate)) == candidate


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (b"/a/b.dcm", "/a/b.dcm"),
        (b"/a/\xe4.dcm", "/a/\\xe4.dcm"),
        ("/a/ä\n.dcm".encode(), "/a/ä\n.dcm"),
        (b"/a.zip\0../b.dcm", "/a.zip!/../b.dcm"),
        (b"/a.zip\0b.dcm\x002", "/a.zip!/b.dcm#2"),
    ],
)
def test_any_location_can_be_shown(location: bytes, shown: str) -> None:
    assert display_path(location) == shown == Candidate(location, 0, 0).path
