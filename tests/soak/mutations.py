"""Valid DICOM files -> damaged ones: by bytes, by elements, by blocks, and within the compressed pixels."""

from __future__ import annotations

import io
import random
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import UID, generate_uid

from spinescore.core.phantom.acquisition import RADIOGRAPH_DEVICES, VFA_DEVICES
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from tests.unit.shell.encoded_files import LOSSLESS, LOSSY, LOSSY_8_BIT

SEED = 20_251_123
HEIGHT = 200
LONG_FORM = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_FORM = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
INTERESTING = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFE,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFF0,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
INTERESTING_TAGS = (
    0,
    0x00020010,
    0x00080005,
    0x00080018,
    0x00081140,
    0x00280010,
    0x00540220,
    0x7FE00010,
    0xFFFEE000,
    0xFFFEE00D,
    0xFFFEE0DD,
)
PIXEL_DATA = b"\xe0\x7f\x10\0"


@dataclass(frozen=True)
class Original:
    """A valid file, and where its elements begin (explicit or implicit little endian), in order."""

    name: str
    content: bytes
    uid: bytes
    starts: tuple[int, ...]
    is_explicit: bool

    @property
    def pixels_start(self) -> int:
        """Where the pixel data element begins."""
        return self.starts[-1]


def originals() -> list[Original]:
    """Return a phantom of every device, and one re-coded in every transfer syntax and by every encoder."""
    found = []
    wanted = {device.model for device in (*RADIOGRAPH_DEVICES, *VFA_DEVICES)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for person in draw_people(60, seed=SEED, cohort="derivation"):
            for kind in ("radiograph", "vfa"):
                if not wanted:
                    break
                rendered = render(person, kind=kind, seed=SEED, height=HEIGHT)  # type: ignore[arg-type]
                if rendered.device.model in wanted:
                    wanted.discard(rendered.device.model)
                    path = folder / "phantom.dcm"
                    dataset(rendered, person, seed=SEED).save_as(path, enforce_file_format=True)
                    found.append(_original(rendered.device.model, path))
        assert not wanted
        found += _recoded(folder)
    return found


def _recoded(folder: Path) -> Iterator[Original]:
    for bits, encoders in (
        (12, {**LOSSLESS, **{k: e for k, (e, _) in LOSSY.items()}}),
        (8, {k: e for k, (e, _) in LOSSY_8_BIT.items()}),
    ):
        native = folder / f"native-{bits}.dcm"
        image = _native(bits)
        image.save_as(native, enforce_file_format=True)
        for name, encode in encoders.items():
            coded = folder / "coded.dcm"
            encode(native, coded)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                described, pixels = image, pydicom.dcmread(coded)
            described.file_meta.TransferSyntaxUID = pixels.file_meta.TransferSyntaxUID
            if UID(pixels.file_meta.TransferSyntaxUID).is_encapsulated:
                pixels.update({e.tag: e for e in described if e.tag not in pixels})
            pixels.SOPInstanceUID = pixels.file_meta.MediaStorageSOPInstanceUID = generate_uid(
                entropy_srcs=[name, str(bits)]
            )
            pixels.save_as(coded, enforce_file_format=True)
            yield _original(name, coded)


def _native(bits: int) -> pydicom.FileDataset:
    """Return an uncompressed phantom of so many bits."""
    for person in draw_people(60, seed=SEED, cohort="derivation"):
        rendered = render(person, kind="vfa" if bits == 8 else "radiograph", seed=SEED, height=HEIGHT)
        if rendered.bits_stored == bits:
            image = dataset(rendered, person, seed=SEED)
            if UID(image.file_meta.TransferSyntaxUID).is_encapsulated:
                image.decompress()
            image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            return image
    raise AssertionError(f"no phantom of {bits} bits")


def _original(name: str, path: Path) -> Original:
    content = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
    is_explicit = header.file_meta.TransferSyntaxUID != pydicom.uid.ImplicitVRLittleEndian
    uid = header.SOPInstanceUID.encode()
    return Original(name, content, uid, tuple(_element_starts(content, is_explicit)), is_explicit)


def _element_starts(content: bytes, is_explicit: bool) -> Iterator[int]:
    """Yield where top-level elements of a little endian file begin, sequences of defined length only."""
    position, previous = 132, 0
    while position + 12 < len(content):
        group, number, length = struct.unpack_from("<HHI", content, position)
        tag = group << 16 | number
        if tag <= previous:
            return
        previous = tag
        yield position
        header = 8
        if is_explicit or group == 2:
            vr = content[position + 4 : position + 6]
            if vr in LONG_FORM:
                header, length = 12, struct.unpack_from("<I", content, position + 8)[0]
            else:
                length >>= 16
        if length == 0xFFFFFFFF or tag == 0x7FE00010:
            return
        position += header + length


def mutate(original: Original, rng: random.Random) -> bytes:
    """Return a damaged copy, of an instance of its own; one to four mutations."""
    other_uid = f"1.9.{rng.randrange(1 << 250, 1 << 251)}".encode()[: len(original.uid)]
    content = bytearray(original.content.replace(original.uid, other_uid))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(MUTATIONS)(content, original, rng)
    return bytes(content)


def _flip_header_byte(content: bytearray, original: Original, rng: random.Random) -> None:
    _flip(content, 128, min(original.pixels_start + 16, len(content)), rng)


def _flip_any_byte(content: bytearray, original: Original, rng: random.Random) -> None:
    _flip(content, 0, len(content), rng)


def _flip_codestream_bytes(content: bytearray, original: Original, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 3, 20))):
        _flip(content, min(original.pixels_start + 12, len(content)), len(content), rng)


def _flip_codestream_head(content: bytearray, original: Original, rng: random.Random) -> None:
    start = original.pixels_start + 20
    _flip(content, min(start, len(content)), min(start + 120, len(content)), rng)


def _flip(content: bytearray, start: int, end: int, rng: random.Random) -> None:
    if start < end:
        content[rng.randrange(start, end)] = rng.choice((0, 0xFF, 0x7F, 0x20, 0x1B, rng.randrange(256)))


def _cut(content: bytearray, original: Original, rng: random.Random) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _cut_header(content: bytearray, original: Original, rng: random.Random) -> None:
    del content[_near_element(content, original, rng) :]


def _remove_block(content: bytearray, original: Original, rng: random.Random) -> None:
    start = _near_element(content, original, rng) if rng.random() < 0.5 else rng.randrange(len(content) + 1)
    del content[start : start + rng.choice((1, 2, 4, 8, 100, 5000))]


def _remove_element(content: bytearray, original: Original, rng: random.Random) -> None:
    number = rng.randrange(len(original.starts) - 1)
    del content[original.starts[number] : original.starts[number + 1]]


def _repeat_block(content: bytearray, original: Original, rng: random.Random) -> None:
    start = _near_element(content, original, rng)
    block = content[start : start + rng.choice((1, 2, 8, 60, 2000))]
    at = start if rng.random() < 0.5 else _near_element(content, original, rng)
    content[at:at] = block * rng.choice((1, 1, 2, 50))


def _swap_elements(content: bytearray, original: Original, rng: random.Random) -> None:
    if len(original.starts) < 3 or len(content) < original.pixels_start:
        return
    one, other = sorted(rng.sample(range(len(original.starts) - 1), 2))
    a, b, c, d = (original.starts[i] for i in (one, one + 1, other, other + 1))
    content[a:d] = content[c:d] + content[b:c] + content[a:b]


def _splice(content: bytearray, original: Original, rng: random.Random) -> None:
    start, source = _near_element(content, original, rng), _near_element(content, original, rng)
    length = rng.choice((2, 4, 8, 16, 64, 512))
    content[start : start + length] = content[source : source + length]


def _set_length(content: bytearray, original: Original, rng: random.Random) -> None:
    start = rng.choice(original.starts)
    value = rng.choice(INTERESTING)
    vr = bytes(content[start + 4 : start + 6])
    short = original.is_explicit and vr in SHORT_FORM
    at = start + (6 if short else 8 if vr in LONG_FORM and original.is_explicit else 4)
    content[at : at + (2 if short else 4)] = (
        struct.pack("<H", value & 0xFFFF) if short else struct.pack("<I", value)
    )


def _set_any_number(content: bytearray, original: Original, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(INTERESTING))


def _set_tag(content: bytearray, original: Original, rng: random.Random) -> None:
    tag = rng.choice(INTERESTING_TAGS)
    start = rng.choice(original.starts)
    content[start : start + 4] = struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def _set_vr(content: bytearray, original: Original, rng: random.Random) -> None:
    vr = rng.choice([*sorted(LONG_FORM | SHORT_FORM), b"ZZ", b"\0\0", b"  ", b"sq"])
    start = rng.choice(original.starts)
    content[start + 4 : start + 6] = vr


def _fill_value(content: bytearray, original: Original, rng: random.Random) -> None:
    number = rng.randrange(len(original.starts) - 1)
    start, end = original.starts[number] + 8, original.starts[number + 1]
    filler = rng.choice((b"\0", b"\xff", b" ", b"\\", b"9", b"=", b"\x1b", b"\xe4", b"-", b"."))
    content[start:end] = filler * max(0, end - start)


def _insert_nesting(content: bytearray, original: Original, rng: random.Random) -> None:
    opening = (
        b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" if original.is_explicit else b"\x08\0\x40\x11\xff\xff\xff\xff"
    )
    item = b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    at = rng.choice(original.starts)
    content[at:at] = (opening + item) * rng.choice((1, 15, 16, 17, 18, 300, 3000))


def _change_syntax(content: bytearray, original: Original, rng: random.Random) -> None:
    at = content.find(b"\2\0\x10\0UI")
    if at < 0:
        return
    length = struct.unpack_from("<H", content, at + 6)[0] if len(content) >= at + 8 else 0
    suffixes = (
        "",
        ".1",
        ".2",
        ".5",
        ".1.99",
        ".4.50",
        ".4.51",
        ".4.57",
        ".4.70",
        ".4.80",
        ".4.81",
        ".4.90",
        ".4.91",
        ".4.100",
        ".4.201",
        ".9",
    )
    content[at + 8 : at + 8 + length] = f"1.2.840.10008.1.2{rng.choice(suffixes)}".encode().ljust(
        length, b"\0"
    )[:length]


def _near_element(content: bytearray, original: Original, rng: random.Random) -> int:
    start = rng.choice(original.starts) + rng.choice((0, 0, 0, 2, 4, 6, 8, 9, 12))
    return min(start, len(content))


Mutation = Callable[[bytearray, Original, random.Random], None]
MUTATIONS: tuple[Mutation, ...] = (
    _flip_header_byte,
    _flip_header_byte,
    _flip_any_byte,
    _flip_codestream_bytes,
    _flip_codestream_bytes,
    _flip_codestream_head,
    _cut,
    _cut_header,
    _remove_block,
    _remove_element,
    _repeat_block,
    _swap_elements,
    _splice,
    _set_length,
    _set_length,
    _set_any_number,
    _set_tag,
    _set_vr,
    _fill_value,
    _insert_nesting,
    _change_syntax,
)
