"""Hostile names, links, archives, directories of media and copies; and what is no DICOM at all."""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rle.utils
from PIL import Image

from tests.reliability.dicom_bytes import (
    COLUMNS,
    JPEG_LS,
    LITTLE,
    OPEN_ITEM,
    PIXEL_DATA,
    RLE,
    ROWS,
    Value,
    encoded,
    fragments,
    image,
    item,
    meta,
    native_pixels,
    picture,
    preamble,
    with_group_length,
)
from tests.reliability.hostile_case import INDEXED, NOT_DICOM, Case, Outcome, excluded, rejected

MEDIA_DIRECTORY = encoded("MediaStorageSOPClassUID", "1.2.840.10008.1.3.10")
ARCHIVE: Outcome = excluded("archive")
IDENTICAL: Outcome = ("duplicate", "identical")


def cases() -> Iterator[Case]:
    """Yield them all."""
    for build in (_names, _links, _other_files, _zips, _tars, _directories, _copies):
        yield from build()


def _names() -> Iterator[Case]:
    for number, name in enumerate(
        (
            b"new\nline.dcm",
            b"carriage\rreturn.dcm",
            b"tab\tbell\a.dcm",
            b"escape\x1b[2J\x1b]0;owned\x07.dcm",
            b"not-utf8-\xff\xfe\xe4.dcm",
            b"surrogate-\xed\xa0\x80.dcm",
            "composed-\u00e4.dcm".encode(),
            "composed-a\u0308.dcm".encode(),
            "right-to-left-\u202emcd.exe".encode(),
            "\U0001f9b4.dcm".encode(),
            b"x" * 251 + b".dcm",
            b"--help.dcm",
            b"-.dcm",
            b"=cmd|' !A0.dcm",
            b"@SUM(1).dcm",
            b"'; drop table files; --.dcm",
            b"<script>alert(1)<.dcm",
            b"[bold red]%s{0}$(reboot)`.dcm",
            b'quote".dcm',
            b"back\\slash.dcm",
            b" blanks .dcm ",
            b"...dcm",
            b"no-suffix",
            b".hidden",
            b"!bang.zip!.dcm",
        )
    ):
        yield Case(b"names/" + name, INDEXED, image(f"name-{number}"))
    yield Case(b"names/folder.dcm/inner.dcm", INDEXED, image("in-a-folder-of-that-name"))
    yield Case(b"names/folder.zip/inner.dcm", INDEXED, image("in-a-folder-named-zip"))
    yield Case(b"names/" + b"deep/" * 200 + b"x.dcm", INDEXED, image("deep"))


def _links() -> Iterator[Case]:
    def link(target: str) -> Callable[[Path], None]:
        return lambda path: path.symlink_to(target)

    yield Case(b"links/a-target.dcm", INDEXED, image("link-target"))
    yield Case(b"links/to-file.dcm", IDENTICAL, link("a-target.dcm"))
    yield Case(b"links/to-folder", excluded("symlink_dir"), link("."))
    yield Case(b"links/to-parent", excluded("symlink_dir"), link("../.."))
    yield Case(b"links/to-root", excluded("symlink_dir"), link("/"))
    yield Case(b"links/to-nothing", excluded("symlink_dangling"), link("nowhere"))
    yield Case(b"links/to-itself", excluded("symlink_loop"), link("to-itself"))
    yield Case(b"links/to-and", excluded("symlink_loop"), link("fro"))
    yield Case(b"links/fro", excluded("symlink_loop"), link("to-and"))
    yield Case(b"links/to-zeros-without-end", excluded("not_regular"), link("/dev/zero"))
    yield Case(b"links/to-terminal", excluded("not_regular"), link("/dev/null"))
    yield Case(b"links/pipe", excluded("not_regular"), lambda path: os.mkfifo(path))
    yield Case(b"links/to-pipe", excluded("not_regular"), link("pipe"))
    yield Case(b"links/socket", excluded("not_regular"), lambda path: os.mknod(path, stat.S_IFSOCK | 0o600))
    if os.geteuid() != 0:

        def locked(path: Path) -> None:
            path.write_bytes(image("locked"))
            path.chmod(0)

        yield Case(b"links/locked.dcm", rejected("permission"), locked)


def _other_files() -> Iterator[Case]:
    shown = Image.fromarray(picture(8))
    pictures = {}
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "JPEG2000"):
        buffer = io.BytesIO()
        shown.save(buffer, kind)
        pictures[kind.lower()] = buffer.getvalue()
    for name, content in {
        **pictures,
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
        "zip-without-suffix": _zipped({"a.dcm": image("hidden")}),
        "text": b"DICM is mentioned here" * 99,
        "one-byte": b"\0",
        "html": b"<html><script>alert(1)</script>",
        "random": np.random.default_rng(2).bytes(50_000),
        "zeros": bytes(50_000),
        "ones": b"\xff" * 50_000,
        "newlines": b"\n" * 50_000,
        "nifti": struct.pack("<i", 348) + bytes(344),
        "elf": b"\x7fELF" + bytes(500),
        "almost-bare": b"\x08\0\x05\0" + b"\xa5" * 500,
    }.items():
        outcome = rejected("malformed") if name == "almost-bare" else NOT_DICOM
        yield Case(f"others/{name}".encode(), outcome, content)
    yield Case(b"others/empty", rejected("empty"), b"")
    yield Case(b"others/empty.zip", rejected("empty"), b"")

    def sparse(head: bytes, n_bytes: int = 1 << 30) -> Callable[[Path], None]:
        def make(path: Path) -> None:
            with path.open("wb") as handle:
                handle.write(head)
                handle.truncate(n_bytes)

        return make

    yield Case(b"others/gigabyte-of-zeros", NOT_DICOM, sparse(b""))
    yield Case(b"others/gigabyte-behind-prefix.dcm", rejected("malformed"), sparse(preamble(b"")))
    name = "gigabyte-behind-meta.dcm"
    head = preamble(with_group_length(meta(name)))
    yield Case(f"others/{name}".encode(), rejected("malformed"), sparse(head))
    yield Case(b"others/zeros-behind-image.dcm", INDEXED, sparse(image("zeros-behind-image"), 1 << 27))
    header = image("gigabyte-of-pixels", pixels=LITTLE.element(PIXEL_DATA, "OW", b"", (1 << 30) - 5000))
    yield Case(b"others/gigabyte-of-pixels.dcm", rejected("pixel_length"), sparse(header))


def _zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _zip_case(
    name: str, content: bytes, members: dict[bytes, Outcome], outcome: Outcome | None = None
) -> Case:
    path = f"archives/{name}.zip".encode()
    found = {path + b"\0" + member: result for member, result in members.items()}
    return Case(path, outcome or ARCHIVE, content, others=found)


def _zips() -> Iterator[Case]:
    bytes_of = {name: image(f"zipped-{name}") for name in "abcdefghijkl"}
    damaged = rejected("archive_damaged")
    yield _zip_case(
        "sound",
        _zipped({"a.dcm": bytes_of["a"], "note.txt": b"hi"}),
        {b"a.dcm": INDEXED, b"note.txt": NOT_DICOM},
    )
    escaping = {"../../b.dcm": bytes_of["b"], "/etc/c.dcm": bytes_of["c"], "..\\d.dcm": bytes_of["d"]}
    yield _zip_case("escaping", _zipped(escaping), {name.encode(): INDEXED for name in escaping})
    odd_names = {"new\nline": bytes_of["e"], "\x1b[2J=cmd": bytes_of["f"], "x" * 5000: bytes_of["g"]}
    yield _zip_case("odd-names", _zipped(odd_names), {name.encode(): INDEXED for name in odd_names})
    inner = _zipped({"h.dcm": bytes_of["h"]})
    yield _zip_case(
        "nested",
        _zipped({"inner.zip": inner, "b.tar.gz": inner}),
        dict.fromkeys((b"inner.zip", b"b.tar.gz"), excluded("nested_archive")),
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key in "ij":
            archive.writestr("same.dcm", bytes_of[key])
    yield _zip_case("same-names", buffer.getvalue(), {b"same.dcm": INDEXED, b"same.dcm\x002": INDEXED})
    whole = _zipped({"k.dcm": image("zipped-k")}, zipfile.ZIP_STORED)
    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.index(b"PK\1\2") + 8] |= 1
    yield _zip_case("encrypted", bytes(locked), {b"k.dcm": rejected("encrypted")})
    changed = bytearray(_zipped({"c.dcm": image("zipped-crc")}, zipfile.ZIP_STORED))
    changed[-3000] ^= 0xFF
    yield _zip_case("checksum", bytes(changed), {b"c.dcm": damaged})
    yield _zip_case(
        "cut",
        _zipped({"l.dcm": bytes_of["l"], "m.dcm": image("zipped-m")})[:-300],
        {b"l.dcm": INDEXED, b"m.dcm": damaged},
        damaged,
    )
    yield _zip_case("cut-early", whole[:700], {b"k.dcm": damaged}, damaged)
    yield _zip_case("text", b"no archive at all", {}, damaged)
    yield _zip_case("nothing-in-it", _zipped({}), {})
    yield _zip_case("folder-only", _zipped({"folder/": b""}), {})
    yield _zip_case("empty-member", _zipped({"n.dcm": b""}), {b"n.dcm": rejected("empty")})
    bomb = _zipped({"zeros": bytes(64 << 20)})
    yield _zip_case("bomb", bomb, {b"zeros": NOT_DICOM})
    lying = bytearray(bomb)
    for at in (22, bomb.index(b"PK\1\2") + 24):
        lying[at : at + 4] = struct.pack("<I", 4_000_000_000)
    yield _zip_case("bomb-lying", bytes(lying), {b"zeros": rejected("inflate_limit")})
    small = bytearray(
        _zipped({"o.dcm": image("zipped-o", pixels=LITTLE.element(PIXEL_DATA, "OW", bytes(50 << 20)))})
    )
    for at in (22, small.index(b"PK\1\2") + 24):
        small[at : at + 4] = struct.pack("<I", 20_000)
    yield _zip_case("claims-less", bytes(small), {b"o.dcm": rejected("truncated")})
    method = bytearray(whole)
    method[8] = method[whole.index(b"PK\1\2") + 10] = 99
    yield _zip_case("unknown-method", bytes(method), {b"k.dcm": damaged})
    counted = bytearray(whole)
    counted[-14:-10] = struct.pack("<HH", 5, 5)
    yield _zip_case("counts-wrong", bytes(counted), {b"k.dcm": INDEXED}, damaged)
    beyond = bytearray(_zipped({"p.dcm": image("zipped-p")}))
    at = beyond.index(b"PK\1\2") + 42
    beyond[at : at + 4] = struct.pack("<I", 0x7FFFFFFF)
    yield _zip_case("points-beyond", bytes(beyond), {b"p.dcm": damaged})


def _tarred(members: dict[str, bytes], mode: str = "w", links: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, kind in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    return buffer.getvalue()


def _tars() -> Iterator[Case]:
    damaged = rejected("archive_damaged")

    def case(name: str, content: bytes, members: dict[bytes, Outcome], outcome: Outcome = ARCHIVE) -> Case:
        path = f"archives/{name}".encode()
        return Case(
            path, outcome, content, others={path + b"\0" + key: value for key, value in members.items()}
        )

    both = {"a.dcm": image("tarred-a"), "../../b.dcm": image("tarred-b")}
    yield case("sound.tar", _tarred(both), dict.fromkeys((b"a.dcm", b"../../b.dcm"), INDEXED))
    squeezed = _tarred({"c.dcm": image("tarred-c"), "d.dcm": image("tarred-d")}, "w:gz")
    yield case("sound.tar.gz", squeezed, dict.fromkeys((b"c.dcm", b"d.dcm"), INDEXED))
    links = {
        "link": tarfile.SYMTYPE,
        "hard": tarfile.LNKTYPE,
        "device": tarfile.BLKTYPE,
        "pipe": tarfile.FIFOTYPE,
    }
    yield case(
        "links.tar", _tarred({}, links=links), {name.encode(): excluded("not_regular") for name in links}
    )
    yield case("text.tar", b"no archive at all" * 99, {}, damaged)
    yield case("garbage.tgz", b"\x1f\x8b\x08\0" + b"\xa5" * 5000, {}, damaged)
    one = _tarred({"e.dcm": image("tarred-e")})
    yield case("cut.tar", one[:9000], {b"e.dcm": damaged}, damaged)
    checksum = bytearray(_tarred({"f.dcm": image("tarred-f")}))
    checksum[150] ^= 1
    yield case("checksum.tar", bytes(checksum), {}, damaged)
    packer = zlib.compressobj(9, wbits=31)
    bomb = tarfile.TarInfo("zeros")
    bomb.size = 64 << 20
    content = packer.compress(bomb.tobuf()) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(64))
    content += packer.compress(bytes(1024)) + packer.flush()
    yield case("bomb.tar.gz", content, {b"zeros": NOT_DICOM})


def _directory(references: list[str], *, circular: bool = False) -> bytes:
    """Return a DICOMDIR that names these files, by components joined with backslashes (PS3.3 F.3)."""

    def written(link: int) -> bytes:
        records = b"".join(
            item(
                LITTLE.element(0x00041400, "UL", struct.pack("<I", link))
                + LITTLE.element(0x00041410, "US", b"\xff\xff")
                + LITTLE.element(0x00041420, "UL", bytes(4))
                + encoded("DirectoryRecordType", "IMAGE")
                + encoded("ReferencedFileID", reference)
            )
            for reference in references
        )
        head = preamble(with_group_length(meta("media", MediaStorageSOPClassUID=MEDIA_DIRECTORY)))
        first = LITTLE.element(0x00041200, "UL", struct.pack("<I", link))
        return head + first + LITTLE.element(0x00041220, "SQ", records)

    return written(written(0).index(OPEN_ITEM[:4])) if circular else written(0)


def _directories() -> Iterator[Case]:
    yield Case(b"media/one/IMAGES/I1", INDEXED, image("media-1"))
    missing: Outcome = ("missing", "not_found")
    outside = ["..\\..\\links\\a-target.dcm", "\\etc\\passwd", "IMAGES\\..\\..\\x", "A/../../B"]
    yield Case(
        b"media/one/DICOMDIR",
        excluded("dicomdir"),
        _directory(["IMAGES\\I1", "IMAGES\\I2", "GONE", *outside]),
        others={
            b"media/one/IMAGES/I2": missing,
            b"media/one/GONE": missing,
            **{b"media/one/DICOMDIR\0" + name.encode(): rejected("reference_outside") for name in outside},
        },
        is_source=True,
    )
    yield Case(b"media/circle/DICOMDIR", excluded("dicomdir"), _directory(["I1"], circular=True),
               others={b"media/circle/I1": missing}, is_source=True)  # fmt: skip
    yield Case(b"media/garbage/DICOMDIR", rejected("truncated"), preamble(b"\xa5" * 999), is_source=True)
    yield Case(b"media/text/DICOMDIR", NOT_DICOM, b"not a directory", is_source=True)


def _copies() -> Iterator[Case]:
    def copy(path: str, outcome: Outcome, **settings: object) -> Case:
        name = path.split("/")[0]
        return Case(f"copies/{path}.dcm".encode(), outcome, image(f"copies-{name}", **settings))  # type: ignore[arg-type]

    other = LITTLE.element(PIXEL_DATA, "OW", np.ascontiguousarray(picture()[::-1]).tobytes())
    like: dict[str, Value] = {"rows": ROWS, "columns": COLUMNS, "bits_allocated": 16, "bits_stored": 12}
    like |= {"photometric_interpretation": "MONOCHROME2", "samples_per_pixel": 1, "pixel_representation": 0}
    squeezed = fragments(bytes(rle.utils.encode_pixel_data(picture().tobytes(), **like, byteorder="<")))
    yield copy("identical/1", INDEXED)
    yield copy("identical/2", IDENTICAL)
    yield copy("identical/3", IDENTICAL)
    yield copy("header/1", INDEXED)
    yield copy("header/2", ("duplicate", "header_differs"), PatientName="SOMEBODY")
    yield copy("header/3", ("duplicate", "header_differs"), StudyDescription="\x1b[2J=spine")
    yield copy("recompressed/1", INDEXED)
    yield copy("recompressed/2", ("duplicate", "recompressed"), syntax=RLE, pixels=squeezed)
    yield copy("conflict/1", INDEXED)
    yield copy("conflict/2", ("duplicate", "content_conflict"), pixels=other)
    yield copy("conflict/3", IDENTICAL)
    yield copy("polarity/1", INDEXED)
    yield copy("polarity/2", ("duplicate", "content_conflict"), PhotometricInterpretation="MONOCHROME1")
    yield copy("size/1", INDEXED)
    yield copy("size/2", ("duplicate", "content_conflict"), Rows=ROWS - 1)
    yield copy("second-cut/1", INDEXED)
    yield copy("second-cut/2", rejected("truncated"), pixels=native_pixels()[:-500])
    yield copy("first-cut/1", rejected("truncated"), pixels=native_pixels()[:-500])
    yield copy("first-cut/2", INDEXED)
    broken = fragments(b"\xff\xd8" + b"\xa5" * 500)
    yield copy("second-broken/1", INDEXED)
    yield copy("second-broken/2", ("duplicate", "content_conflict"), syntax=JPEG_LS, pixels=broken)
    yield copy("first-broken/1", rejected("decode_failed"), syntax=JPEG_LS, pixels=broken)
    yield copy("first-broken/2", INDEXED)
    yield copy("all-broken/1", rejected("decode_failed"), syntax=JPEG_LS, pixels=broken)
    yield copy("all-broken/2", rejected("decode_failed"), syntax=JPEG_LS, pixels=broken, PatientName="X")
    yield copy("other-patient/1", INDEXED)
    yield copy("other-patient/2", ("duplicate", "header_differs"), PatientID="SOMEBODY ELSE")
