"""Write spinescore/data/codec-samples.json: ``python docs/make_codec_samples.py`` (needs `make system`).

One small image of ours, a curve with grain, in every transfer syntax of DICOM that an image of ours may come
in, compressed by programs that share no code with our decoders' callers (DCMTK, OpenJPEG, OpenJPH). `doctor`
decodes them.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path

import pydicom

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.unit.shell.encoded_files import (  # noqa: E402 - found by the line above
    LOSSLESS,
    LOSSY,
    LOSSY_8_BIT,
    by,
    smooth_pixels,
    write_native,
)

SIDE = 64
SEED = 7
BITS = 12
CODED = {
    "implicit": LOSSLESS["implicit, dcmtk"],
    "explicit": by("dcmconv", "+te"),
    "big endian": LOSSLESS["big endian, dcmtk"],
    "deflated": LOSSLESS["deflated, dcmtk"],
    "RLE": LOSSLESS["RLE, dcmtk"],
    "JPEG lossless": LOSSLESS["JPEG lossless predictor 6, dcmtk"],
    "JPEG lossless SV1": LOSSLESS["JPEG lossless SV1, dcmtk"],
    "JPEG-LS": LOSSLESS["JPEG-LS, dcmtk"],
    "JPEG 2000 lossless": LOSSLESS["JPEG 2000, openjpeg"],
    "HTJ2K lossless": LOSSLESS["HTJ2K lossless, openjph"],
    "HTJ2K lossless RPCL": LOSSLESS["HTJ2K lossless RPCL, openjph"],
    "JPEG extended": LOSSY["JPEG extended, dcmtk"][0],
    "JPEG-LS near-lossless": LOSSY["JPEG-LS near-lossless, dcmtk"][0],
    "JPEG 2000": LOSSY["JPEG 2000, openjpeg"][0],
    "HTJ2K": LOSSY["HTJ2K, openjph"][0],
}
CODED_8_BIT = {
    "explicit, 8 bit": CODED["explicit"],
    "JPEG baseline": LOSSY_8_BIT["JPEG baseline, dcmtk"][0],
}


def write_samples(target: Path) -> None:
    """Write every sample as base64, with the bits of the image it is of."""
    samples = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for bits, coded in ((BITS, CODED), (8, CODED_8_BIT)):
            native = write_native(
                folder / f"{bits}.dcm", smooth_pixels(bits, (SIDE, SIDE), SEED), bits, SyntheticData="YES"
            )
            for title, encode in coded.items():
                path = folder / "coded.dcm"
                encode(native, path)
                syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
                content = base64.b64encode(path.read_bytes()).decode()
                samples.append({"name": title, "bits": bits, "syntax": str(syntax), "file": content})
    target.write_text(json.dumps(samples, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_samples(ROOT / "spinescore" / "data" / "codec-samples.json")
