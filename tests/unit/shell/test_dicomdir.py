"""A DICOMDIR stands for the files it names: found as disc readers find them, never outside its folder."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from spinescore.shell.archive.dicomdir import find_referenced, is_dicomdir
from spinescore.shell.archive.locations import location_exists
from spinescore.shell.archive.sources import Candidate, find_candidates

MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2) if vr == b"CS" else b"\0" * (len(value) % 2)
    length = struct.pack("<HI", 0, len(value)) if vr in (b"SQ", b"OB") else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + vr + length + value


def item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def record(reference: bytes | None, following: int = 0, lower: int = 0) -> bytes:
    file_id = element(4, 0x1500, b"CS", reference) if reference is not None else b""
    return item(
        element(4, 0x1400, b"UL", struct.pack("<I", following))
        + element(4, 0x1410, b"US", b"\xff\xff")
        + element(4, 0x1420, b"UL", struct.pack("<I", lower))
        + element(4, 0x1430, b"CS", b"IMAGE")
        + file_id
    )


def preamble() -> bytes:
    meta = (
        element(2, 1, b"OB", b"\0\1")
        + element(2, 2, b"UI", MEDIA_STORAGE_DIRECTORY)
        + element(2, 3, b"UI", b"1.2.3")
        + element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1")
    )
    return bytes(128) + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta


def dicomdir(*records: bytes, first: int = 0) -> bytes:
    head = preamble() + element(4, 0x1200, b"UL", struct.pack("<I", first))
    return head + element(4, 0x1220, b"SQ", b"".join(records))


FIRST_RECORD_OFFSET = len(dicomdir())


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    (tmp_path / "disc" / "IMAGES").mkdir(parents=True)
    return tmp_path / "disc"


def reasons(found: list[Candidate]) -> list[tuple[str, str] | None]:
    return [c.refusal and c.refusal[:2] for c in found]


def listed(disc: Path, *references: bytes) -> list[Candidate]:
    path = disc / "DICOMDIR"
    path.write_bytes(dicomdir(*(record(reference) for reference in references)))
    itself, *found = find_candidates([path])
    assert (itself.path_bytes, itself.refusal) == (os.fsencode(path), None)
    return found


def test_what_it_names_is_found_and_nothing_else(disc: Path) -> None:
    for name in ("1", "2", "unnamed"):
        (disc / "IMAGES" / name).write_bytes(b"x")
    found = listed(disc, b"IMAGES\\2", b"IMAGES\\1", b"IMAGES\\2")
    assert [c.path for c in found] == [str(disc / "IMAGES" / "2"), str(disc / "IMAGES" / "1")]
    assert reasons(found) == [None, None]


@pytest.mark.parametrize("on_disk", ["im1", "IM1.", "IM1;1", "im1.;1"])
def test_names_are_matched_as_discs_have_them(disc: Path, on_disk: str) -> None:
    (disc / "IMAGES").rename(disc / "images")
    (disc / "images" / on_disk).write_bytes(b"x")
    (found,) = listed(disc, b"IMAGES\\IM1")
    assert (found.path, found.refusal) == (str(disc / "images" / on_disk), None)


def test_the_exact_name_comes_before_one_like_it(disc: Path) -> None:
    for name in ("im1", "IM1", "Im1"):
        (disc / name).write_bytes(b"x")
    (found,) = listed(disc, b"IM1")
    assert found.path == str(disc / "IM1")


def test_what_is_not_there_is_missing_by_the_name_it_should_have(disc: Path) -> None:
    (disc / "FILE").write_bytes(b"x")
    found = listed(disc, b"IMAGES\\GONE", b"NO\\WAY", b"FILE\\BELOW")
    assert reasons(found) == [("missing", "not_found")] * 3
    assert [c.path for c in found] == [str(disc / name) for name in ("IMAGES/GONE", "NO/WAY", "FILE/BELOW")]


@pytest.mark.parametrize(
    "reference",
    [b"..\\secret", b"IMAGES\\..\\..\\secret", b"\\etc\\passwd", b"../secret", b"IMAGES\\.\\1", b"a\0b\\c"],
)
def test_no_reference_leads_outside(disc: Path, reference: bytes) -> None:
    (disc.parent / "secret").write_bytes(b"x")
    (found,) = listed(disc, reference)
    assert reasons([found]) == [("rejected", "reference_outside")]
    assert not location_exists(found.path_bytes)
    assert found.path.startswith(f"{disc}/DICOMDIR!/")


def test_no_link_leads_outside(disc: Path) -> None:
    secrets = disc.parent / "secrets"
    secrets.mkdir()
    (secrets / "a").write_bytes(b"x")
    (disc / "LINK").symlink_to(secrets / "a")
    (disc / "FOLDER").symlink_to(secrets)
    (disc / "IMAGES" / "1").write_bytes(b"x")
    (disc / "INSIDE").symlink_to(disc / "IMAGES" / "1")
    found = listed(disc, b"LINK", b"FOLDER\\A", b"FOLDER\\GONE", b"INSIDE")
    assert reasons(found) == [("rejected", "reference_outside")] * 3 + [None]


def test_a_named_folder_or_empty_file_is_refused(disc: Path) -> None:
    (disc / "EMPTY").touch()
    assert reasons(listed(disc, b"IMAGES", b"EMPTY")) == [("excluded", "not_regular"), ("rejected", "empty")]


def test_records_that_lead_round_are_malformed_and_their_files_still_found(disc: Path) -> None:
    (disc / "1").write_bytes(b"x")
    start = FIRST_RECORD_OFFSET
    path = disc / "DICOMDIR"
    path.write_bytes(dicomdir(record(b"1", following=start), first=start))
    assert reasons(list(find_referenced(os.fsencode(path)))) == [("rejected", "malformed"), None]


def test_records_properly_linked_are_well(disc: Path) -> None:
    """Patient, study, image: each below the one before, offsets as PS3.3 F.2.2 has them."""
    start, length = FIRST_RECORD_OFFSET, len(record(None))
    (disc / "1").write_bytes(b"x")
    records = record(None, lower=start + length), record(None, lower=start + 2 * length), record(b"1")
    path = disc / "DICOMDIR"
    path.write_bytes(dicomdir(*records, first=start))
    assert reasons(list(find_referenced(os.fsencode(path)))) == [None, None]


def nested(depth: int) -> bytes:
    """Sequences one in the other, of undefined length, cut off at the bottom."""
    undefined = struct.pack("<I", 0xFFFFFFFF)
    opening = (
        struct.pack("<HH", 4, 0x1220) + b"SQ\0\0" + undefined + struct.pack("<HH", 0xFFFE, 0xE000) + undefined
    )
    return preamble() + opening * depth


@pytest.mark.parametrize(
    "content",
    [
        b"not DICOM at all",
        preamble(),
        dicomdir(record(b"1"))[:-30],
        dicomdir(record(b"1"), b"\xff" * 40),
        preamble() + struct.pack("<HH2sHI", 4, 0x1220, b"SQ", 0, 0xFFFFFFF0),
        preamble() + element(4, 0x1220, b"CS", b"NO RECORDS"),
        nested(300),
        nested(100_000),
    ],
    ids=["text", "empty", "cut", "garbage", "length", "no_sequence", "deep", "very_deep"],
)
@pytest.mark.timeout(20)
def test_what_cannot_be_parsed_is_malformed(disc: Path, content: bytes) -> None:
    path = disc / "DICOMDIR"
    path.write_bytes(content)
    assert reasons(list(find_candidates([path])))[0] == ("rejected", "malformed")


def test_it_is_known_by_its_name_or_by_what_it_says(disc: Path) -> None:
    (disc / "index.dcm").write_bytes(dicomdir())
    (disc / "dicomdir;1").write_bytes(b"x")
    (disc / "image.dcm").write_bytes(dicomdir().replace(MEDIA_STORAGE_DIRECTORY, b"1.2.840.10008.5.1.4."))
    os.mkfifo(disc / "pipe")
    known = [
        is_dicomdir(os.fsencode(disc / name)) for name in ("index.dcm", "dicomdir;1", "image.dcm", "pipe")
    ]
    assert known == [True, True, False, False]


def test_in_a_folder_it_is_a_file_like_any_other(disc: Path) -> None:
    listed(disc, b"GONE", b"IMAGES\\1")
    (disc / "IMAGES" / "1").write_bytes(b"x")
    assert [(Path(c.path).name, c.refusal) for c in find_candidates([disc])] == [
        ("DICOMDIR", None),
        ("1", None),
    ]


def test_named_together_with_its_folder_each_file_comes_once_and_the_missing_too(disc: Path) -> None:
    listed(disc, b"GONE", b"IMAGES\\1")
    (disc / "IMAGES" / "1").write_bytes(b"x")
    found = [
        (Path(c.path).name, c.refusal and c.refusal[1]) for c in find_candidates([disc / "DICOMDIR", disc])
    ]
    assert sorted(found) == [("1", None), ("DICOMDIR", None), ("GONE", "not_found")]
