"""DICOM files of known pixels, compressed by programs that share no code with our decoders' callers.

DCMTK (own JPEG codec, CharLS), GDCM's gdcmconv, OpenJPEG's opj_compress, OpenJPH's ojph_compress.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    SecondaryCaptureImageStorage,
)

Pixels = NDArray[Any]
Encode = Callable[[Path, Path], None]
PROGRAMS = "dcmcjpeg", "gdcmconv", "opj_compress", "ojph_compress"
needs_encoders = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason="`make system` installs the encoders"
)


def smooth_pixels(bits: int, shape: tuple[int, int] = (96, 80), seed: int = 0) -> Pixels:
    """Return an image that lossy coding keeps well and that uses the whole range."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    grain = np.random.default_rng(seed).normal(0, 0.004, shape)
    value = np.clip((np.sin(x / 9) + np.cos(y / 13) + 2) / 4 + grain, 0, 1)
    return np.rint(value * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def describe(pixels: Pixels, bits: int, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = SecondaryCaptureImageStorage
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID = "1.2.3.4"
    d.SamplesPerPixel, d.PhotometricInterpretation, d.PixelRepresentation = 1, "MONOCHROME2", 0
    d.Rows, d.Columns = pixels.shape
    d.BitsAllocated, d.BitsStored, d.HighBit = pixels.itemsize * 8, bits, bits - 1
    return d


def write_native(path: Path, pixels: Pixels, bits: int, **changes: Any) -> Path:
    """Write an uncompressed file; ``changes`` set elements."""
    d = describe(pixels, bits)
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    d.PixelData = content + b"\0" * (len(content) % 2)
    d["PixelData"].VR = "OW"
    for name, value in changes.items():
        setattr(d, name, value)
    d.save_as(path, enforce_file_format=True)
    return path


def write_frame(path: Path, like: Dataset, syntax: str, *fragments: bytes, **changes: Any) -> Path:
    """Write a file that encapsulates a codestream; ``changes`` set elements."""
    d = Dataset()
    d.update({e.tag: e for e in like if e.keyword not in ("PixelData",)})
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    d.file_meta.MediaStorageSOPClassUID, d.file_meta.MediaStorageSOPInstanceUID = d.SOPClassUID, "1.2.3.4"
    d.PixelData = encapsulate(list(fragments), fragments_per_frame=1, has_bot=False)
    d["PixelData"].VR, d["PixelData"].is_undefined_length = "OB", True
    for name, value in changes.items():
        setattr(d, name, value)
    d.save_as(path, enforce_file_format=True)
    return path


def frame_of(path: Path) -> bytes:
    """Return the one compressed frame of a file."""
    d = pydicom.dcmread(path)
    return next(pydicom.encaps.generate_frames(d.PixelData, number_of_frames=1))


def run(*command: str | Path) -> None:
    subprocess.run([str(c) for c in command], check=True, capture_output=True, timeout=60)


def by(*command: str) -> Encode:
    """Return an encoder that is a command taking a DICOM file and writing another."""
    return lambda source, target: run(*command, source, target)


def by_codestream(syntax: str, suffix: str, *command: str) -> Encode:
    """Return an encoder that is a command taking a PGM file; its output is encapsulated."""

    def encode(source: Path, target: Path) -> None:
        d = pydicom.dcmread(source)
        dtype = np.dtype(f"<u{d.BitsAllocated // 8}")
        cells = np.frombuffer(d.PixelData, dtype, count=d.Rows * d.Columns)
        pgm, coded = target.with_suffix(".pgm"), target.with_suffix(suffix)
        head = f"P5\n{d.Columns} {d.Rows}\n{2**d.BitsStored - 1}\n".encode()
        pgm.write_bytes(head + cells.astype(dtype.newbyteorder(">")).tobytes())
        run(*command, "-i", pgm, "-o", coded)
        write_frame(target, d, syntax, coded.read_bytes())

    return encode


LOSSLESS: dict[str, Encode] = {
    "implicit, dcmtk": by("dcmconv", "+ti"),
    "big endian, dcmtk": by("dcmconv", "+tb"),
    "deflated, dcmtk": by("dcmconv", "+td"),
    "RLE, dcmtk": by("dcmcrle"),
    "RLE, gdcm": by("gdcmconv", "-R"),
    "JPEG lossless SV1, dcmtk": by("dcmcjpeg", "+e1"),
    "JPEG lossless SV1, gdcm": by("gdcmconv", "-J"),
    **{f"JPEG lossless predictor {n}, dcmtk": by("dcmcjpeg", "+el", "+sv", f"{n}") for n in range(2, 8)},
    "JPEG-LS, dcmtk": by("dcmcjpls"),
    "JPEG-LS, gdcm": by("gdcmconv", "-L"),
    "JPEG 2000, gdcm": by("gdcmconv", "-K"),
    "JPEG 2000, openjpeg": by_codestream(JPEG2000Lossless, ".j2k", "opj_compress"),
    "JPEG 2000 tiled, openjpeg": by_codestream(
        JPEG2000Lossless, ".j2k", "opj_compress", "-n", "3", "-t", "37,41"
    ),
    "JPEG 2000 in JP2 boxes, openjpeg": by_codestream(JPEG2000Lossless, ".jp2", "opj_compress"),
    "HTJ2K lossless, openjph": by_codestream(
        HTJ2KLossless, ".j2c", "ojph_compress", "-reversible", "true", "-prog_order", "LRCP"
    ),
    "HTJ2K lossless RPCL, openjph": by_codestream(
        HTJ2KLosslessRPCL, ".j2c", "ojph_compress", "-reversible", "true", "-prog_order", "RPCL"
    ),
}


def expand_with_openjpeg(path: Path) -> Pixels:
    return _expand(path, ".j2k", "opj_decompress")


def expand_with_openjph(path: Path) -> Pixels:
    return _expand(path, ".j2c", "ojph_expand")


def _expand(path: Path, suffix: str, command: str) -> Pixels:
    coded, pgm = path.with_suffix(suffix), path.with_suffix(".out.pgm")
    coded.write_bytes(frame_of(path))
    run(command, "-i", coded, "-o", pgm)
    d, content = pydicom.dcmread(path), pgm.read_bytes()
    dtype = np.dtype(">u1" if d.BitsStored <= 8 else ">u2")
    n_bytes = d.Rows * d.Columns * dtype.itemsize
    return np.frombuffer(content[-n_bytes:], dtype).reshape(d.Rows, d.Columns)


def expand_by(*command: str) -> Callable[[Path], Pixels]:
    """Return a decoder that is a command taking a DICOM file and writing an uncompressed one."""

    def expand(path: Path) -> Pixels:
        target = path.with_suffix(".expanded.dcm")
        run(*command, path, target)
        return np.asarray(pydicom.dcmread(target).pixel_array)

    return expand


# coded lossily; beside each, the decoder of the same makers
LOSSY: dict[str, tuple[Encode, Callable[[Path], Pixels]]] = {
    "JPEG extended, dcmtk": (by("dcmcjpeg", "+ee"), expand_by("dcmdjpeg")),
    "JPEG-LS near-lossless, dcmtk": (by("dcmcjpls", "+en", "+md", "3"), expand_by("dcmdjpls")),
    "JPEG 2000, openjpeg": (
        by_codestream(JPEG2000, ".j2k", "opj_compress", "-I", "-r", "8"),
        expand_with_openjpeg,
    ),
    "HTJ2K, openjph": (
        by_codestream(HTJ2K, ".j2c", "ojph_compress", "-reversible", "false", "-qstep", "0.002"),
        expand_with_openjph,
    ),
}
LOSSY_8_BIT: dict[str, tuple[Encode, Callable[[Path], Pixels]]] = {
    "JPEG baseline, dcmtk": (by("dcmcjpeg", "+eb"), expand_by("dcmdjpeg")),
    "JPEG baseline, gdcm": (by("gdcmconv", "-J", "-Y"), expand_by("dcmdjpeg")),
}
