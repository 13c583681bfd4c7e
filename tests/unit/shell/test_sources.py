"""Every path under a source comes out once, in a stable order, whatever it is and however it is named."""

from __future__ import annotations

import codecs
import io
import itertools
import os
import socket
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spinescore.errors import SourceError
from spinescore.shell.archive import sources
from spinescore.shell.archive.sources import Candidate, find_candidates, find_listed, read_path_list

FILE_NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda n: not {0, 47} & set(n) and n not in (b".", b"..")
)
ODD_NAMES = [
    "Wirbelsäule.dcm".encode("latin-1"),
    "척추.dcm".encode("euc-kr"),
    "腰椎.dcm".encode("shift-jis"),
    b"two\nlines.dcm",
    unicodedata.normalize("NFD", "Wirbelsäule.dcm").encode(),
    unicodedata.normalize("NFC", "Wirbelsäule.dcm").encode(),
    b"-rf $(reboot) <b>;.dcm",
]


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def refusals(found: Iterator[Candidate]) -> dict[bytes, tuple[str, str] | None]:
    return {os.path.basename(c.path_bytes): c.refusal and c.refusal[:2] for c in found}


def test_a_walk_is_ordered_by_the_bytes_of_names_and_enters_folders_in_place(tmp_path: Path) -> None:
    write(tmp_path, "b/2", "b/10", "a", "c", "B")
    found = [os.path.relpath(c.path_bytes, os.fsencode(tmp_path)) for c in find_candidates([tmp_path])]
    assert found == [b"B", b"a", b"b/10", b"b/2", b"c"]


def test_a_candidate_has_what_stat_says(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm")
    status = (tmp_path / "a.dcm").stat()
    (found,) = find_candidates([tmp_path])
    assert (found.size_bytes, found.modified_ns, found.refusal) == (1, status.st_mtime_ns, None)
    assert found.path == str(tmp_path / "a.dcm")


def test_names_in_any_encoding_stay_the_bytes_they_are(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for name in ODD_NAMES:
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(b"x")
    found = list(find_candidates([tmp_path]))
    assert [os.path.basename(c.path_bytes) for c in found] == sorted(ODD_NAMES)
    assert all(c.path.encode() for c in found)


@settings(max_examples=30)
@given(st.sets(FILE_NAMES, min_size=1, max_size=8))
def test_whatever_a_file_is_called_it_is_found(names: set[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(b"x")
        found = [os.path.basename(c.path_bytes) for c in find_candidates([Path(folder)])]
    assert found == sorted(names)


def test_the_order_and_overlap_of_sources_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a/1", "a/b/2", "a-b/3", "c/4")
    (tmp_path / "link").symlink_to(tmp_path / "c")
    given_sources = [
        tmp_path / "a",
        tmp_path / "a" / "b",
        tmp_path / "a-b",
        tmp_path / "a/1",
        tmp_path / "link",
    ]
    outcomes = {tuple(find_candidates(order)) for order in itertools.permutations(given_sources)}
    (outcome,) = outcomes
    assert [os.path.basename(c.path_bytes) for c in outcome] == [b"1", b"2", b"3", b"4"]


def test_links_lead_to_files_never_to_folders(tmp_path: Path) -> None:
    archive, elsewhere = tmp_path / "archive", tmp_path / "elsewhere"
    write(archive, "real.dcm")
    write(elsewhere, "secret", "file.dcm")
    (archive / "to_file").symlink_to(elsewhere / "file.dcm")
    (archive / "to_folder").symlink_to(elsewhere)
    (archive / "to_itself").symlink_to(archive / "to_itself")
    (archive / "to_parent").symlink_to("..")
    (archive / "to_nothing").symlink_to(archive / "gone")
    (archive / "to_device").symlink_to("/dev/null")
    assert refusals(find_candidates([archive])) == {
        b"real.dcm": None,
        b"to_file": None,
        b"to_folder": ("excluded", "symlink_dir"),
        b"to_itself": ("excluded", "symlink_loop"),
        b"to_parent": ("excluded", "symlink_dir"),
        b"to_nothing": ("excluded", "symlink_dangling"),
        b"to_device": ("excluded", "not_regular"),
    }


def test_pipes_sockets_and_empty_files_are_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    here = socket.socket(socket.AF_UNIX)
    with here:
        here.bind(str(tmp_path / "s"))
        assert refusals(find_candidates([tmp_path])) == {
            b"pipe": ("excluded", "not_regular"),
            b"s": ("excluded", "not_regular"),
            b"empty": ("rejected", "empty"),
        }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_hides_its_files_is_one_row(tmp_path: Path) -> None:
    write(tmp_path, "closed/a", "open/b")
    (tmp_path / "closed").chmod(0)
    try:
        assert refusals(find_candidates([tmp_path])) == {b"closed": ("rejected", "permission"), b"b": None}
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_one_row_for_root_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root is let in everywhere, so the refusal is put in the way."""
    write(tmp_path, "closed/a", "open/b")
    real = os.listdir

    def listdir(path: bytes) -> list[bytes]:
        if path.endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(sources.os, "listdir", listdir)
    found = refusals(find_candidates([tmp_path]))
    assert found == {b"closed": ("rejected", "permission"), b"b": None}


def test_what_vanishes_while_we_look_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c/d", "e")
    walk = find_candidates([tmp_path])
    first = next(walk)
    (tmp_path / "b").unlink()
    (tmp_path / "c" / "d").unlink()
    (tmp_path / "c").rmdir()
    assert [os.path.basename(c.path_bytes) for c in [first, *walk]] == [b"a", b"e"]


def test_a_tree_deeper_than_a_path_can_say_ends_in_a_row(tmp_path: Path) -> None:
    """5,000 folders one in the other: no recursion to exhaust, and the limit of the system is a reason."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir(b"d", dir_fd=here)
        deeper = os.open(b"d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    (tmp_path / "z").write_bytes(b"x")
    found = list(find_candidates([tmp_path]))
    assert [c.refusal and c.refusal[:2] for c in found] == [("rejected", "path_too_long"), None]
    remove_deep(tmp_path)


def remove_deep(folder: Path) -> None:
    """pytest's own cleaning recurses; peel the tree from the top instead."""
    os.rename(folder / "d", folder / "peel")
    while True:
        here = os.open(folder / "peel", os.O_RDONLY)
        try:
            os.rename(b"d", folder / "next", src_dir_fd=here)
        except FileNotFoundError:
            break
        finally:
            os.close(here)
        os.rmdir(folder / "peel")
        os.rename(folder / "next", folder / "peel")
    os.unlink(folder / "peel" / "f")
    os.rmdir(folder / "peel")


def test_walking_streams(tmp_path: Path) -> None:
    """The first file is there before a folder after it is even listed."""
    write(tmp_path, "a", "b/c")
    walk = find_candidates([tmp_path])
    assert next(walk).path.endswith("a")
    write(tmp_path, "b/d")
    assert [os.path.basename(c.path_bytes) for c in walk] == [b"c", b"d"]


@pytest.mark.parametrize(("on_disk", "typed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_source_typed_on_another_system_is_found(tmp_path: Path, on_disk: str, typed: str) -> None:
    name = "Röntgen/Säule"
    write(tmp_path / unicodedata.normalize(on_disk, name), "a.dcm")
    (found,) = find_candidates([tmp_path / unicodedata.normalize(typed, name)])
    assert found.path_bytes.endswith(unicodedata.normalize(on_disk, name).encode() + b"/a.dcm")


@pytest.mark.parametrize("name", [b"gone", b"with\0nul", b"dangling", b"f\xff", b"a/b/c"])
def test_a_source_that_is_not_there_is_an_error_before_anything_is_read(tmp_path: Path, name: bytes) -> None:
    write(tmp_path, "a")
    (tmp_path / "dangling").symlink_to("gone")
    with pytest.raises(SourceError, match="No file or folder"):
        next(find_candidates([tmp_path, os.path.join(os.fsencode(tmp_path), name)]))


def test_a_single_file_and_a_pipe_are_sources_too(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm")
    os.mkfifo(tmp_path / "pipe")
    found = refusals(find_candidates([tmp_path / "pipe", tmp_path / "a.dcm"]))
    assert found == {b"a.dcm": None, b"pipe": ("excluded", "not_regular")}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\n\r\n\nb", [b"a", b"b"]),
        (b"\xef\xbb\xbfa\n", [b"a"]),
        (b"a\nb\0c\r\0", [b"a\nb", b"c\r"]),
        (b" a \n\xff\n", [b" a ", b"\xff"]),
        (b"", []),
        (b"\0\0", []),
    ],
)
def test_a_list_is_separated_by_nuls_or_lines(text: bytes, paths: list[bytes]) -> None:
    assert list(read_path_list(io.BytesIO(text))) == paths


@given(st.lists(st.binary(min_size=1, max_size=300).map(lambda b: b.replace(b"\0", b"")).filter(bool)))
def test_what_find_print0_writes_is_read_back(paths: list[bytes]) -> None:
    marks = codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
    assume(not paths or not paths[0].startswith(marks))  # taken off, and refused: see below
    stream = io.BytesIO(b"".join(path + b"\0" for path in paths))
    assert list(read_path_list(stream)) == paths


def test_a_list_longer_than_a_block_is_read_as_it_comes(tmp_path: Path) -> None:
    paths = [b"%06d/" % i + b"x" * 100 for i in range(5000)]
    stream = io.BytesIO(b"\n".join(paths))
    reader = read_path_list(stream)
    assert next(reader) == paths[0]
    assert stream.tell() < 100_000
    assert list(reader) == paths[1:]


@pytest.mark.parametrize("text", ["a\nb".encode("utf-16"), b"x" * (3 << 20)])
def test_what_is_no_list_of_paths_is_an_error(text: bytes) -> None:
    with pytest.raises(SourceError, match="list of paths"):
        list(read_path_list(io.BytesIO(text)))


def test_listed_paths_come_in_their_order_and_what_is_not_there_is_missing(tmp_path: Path) -> None:
    write(tmp_path, "b.dcm", "folder/2", "folder/1", "Ü".encode().decode())
    base = os.fsencode(tmp_path)
    typed = unicodedata.normalize("NFD", "Ü").encode()
    listed = [b"gone", base + b"/b.dcm", b"./folder/", typed, b"x\0y", b"b.dcm/no"]
    found = list(find_listed(listed, base))
    assert [os.path.relpath(c.path_bytes, base) for c in found] == [
        b"gone", b"b.dcm", b"folder/1", b"folder/2", "Ü".encode(), b"x\\0y", b"b.dcm/no",
    ]  # fmt: skip
    missing = "missing", "not_found"
    assert [c.refusal and c.refusal[:2] for c in found] == [missing, None, None, None, None, missing, missing]


def test_a_listed_path_is_the_same_location_as_a_walked_one(tmp_path: Path) -> None:
    write(tmp_path, "real/a/f")
    (tmp_path / "link").symlink_to("real")
    (walked,) = find_candidates([tmp_path / "link"])
    base = os.fsencode(tmp_path)
    for listed in (b"link/a/f", b"link/a/../a/f", b"real/a", b"link/a/."):
        assert list(find_listed([listed], base)) == [walked]


def test_a_listed_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "real/f")
    (tmp_path / "link").symlink_to("real")
    assert refusals(find_listed([b"link"], os.fsencode(tmp_path))) == {b"link": ("excluded", "symlink_dir")}


def test_a_listed_path_beyond_the_systems_limit_is_a_row(tmp_path: Path) -> None:
    (found,) = find_listed([b"d/" * 4000 + b"f"], os.fsencode(tmp_path))
    assert found.refusal is not None
    assert found.refusal[:2] == ("rejected", "path_too_long")
