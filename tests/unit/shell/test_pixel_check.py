"""Whatever a file is, looking at its pixels ends in facts or in a reason."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.shell.pixels.decoding import decode
from spinescore.shell.pixels.pixel_check import PixelFacts, PixelItem, check_pixels, facts_of
from spinescore.shell.workers import map_supervised
from tests.unit.shell.encoded_files import (
    LOSSLESS,
    LOSSY,
    LOSSY_8_BIT,
    needs_encoders,
    smooth_pixels,
    write_native,
)

THRESHOLDS = {"low_contrast": Threshold("contrast", below=0.12)}
MEASURES = (
    "contrast",
    "clipped_low_share",
    "clipped_high_share",
    "saturated_share",
    "collimated_share",
    "sharpness",
    "spine_likeness",
)
MEMORY_LIMIT_BYTES = 4 << 30
RNG = np.random.default_rng(11)


def item_of(path: Path) -> PixelItem:
    status = path.stat()
    return PixelItem("1.2.3", os.fsencode(path), status.st_size, status.st_mtime_ns)


def check(path: Path) -> PixelFacts:
    return check_pixels(item_of(path), thresholds=THRESHOLDS)


def test_a_good_file_has_facts_and_no_reason(tmp_path: Path) -> None:
    path = write_native(tmp_path / "image.dcm", smooth_pixels(12), 12)
    facts = check(path)
    assert facts.pixel_sha256 == decode(path).pixel_sha256
    assert all(getattr(facts, name) is not None for name in MEASURES)
    assert (facts.reason, facts.detail, facts.flags) == (None, None, ())


def test_the_facts_of_a_decoded_image_are_the_same(tmp_path: Path) -> None:
    path = write_native(tmp_path / "image.dcm", smooth_pixels(12), 12)
    assert facts_of(decode(path), item_of(path), thresholds=THRESHOLDS) == check(path)


def test_thresholds_make_the_flags(tmp_path: Path) -> None:
    flat = (smooth_pixels(8) // 16 + 100).astype(np.uint8)
    assert check(write_native(tmp_path / "image.dcm", flat, 8)).flags == ("low_contrast",)


def test_a_bad_file_has_its_reason_and_no_measure(tmp_path: Path) -> None:
    path = write_native(tmp_path / "image.dcm", np.full((80, 80), 9, np.uint16), 12)
    facts = check(path)
    assert facts.reason == "constant_image"
    assert all(getattr(facts, name) is None for name in (*MEASURES, "pixel_sha256"))


def test_a_file_that_is_gone_or_changed_is_not_blamed_on_its_pixels(tmp_path: Path) -> None:
    path = write_native(tmp_path / "image.dcm", smooth_pixels(12), 12)
    item = item_of(path)
    os.utime(path, ns=(1, 1))
    assert check_pixels(item, thresholds=THRESHOLDS).reason == "changed"
    path.unlink()
    assert check_pixels(item, thresholds=THRESHOLDS).reason == "missing"


@given(cut=st.integers(0, 2000), noise=st.binary(max_size=40))
@settings(max_examples=30)
def test_any_bytes_end_in_a_reason_or_in_facts(
    tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes
) -> None:
    path = write_native(tmp_path_factory.mktemp("any") / "image.dcm", smooth_pixels(8), 8)
    content = path.read_bytes()
    path.write_bytes(content[:cut] + noise + content[cut + len(noise) :])
    facts = check(path)
    assert (facts.reason is None) == (facts.pixel_sha256 is not None)


def mutants(content: bytes, folder: Path, name: str) -> list[Path]:
    """Cut a file at several points of its pixels and turn over bits of them, by a fixed seed."""
    start = content.rindex(b"\xe0\x7f\x10\x00") + 20 if b"\xe0\x7f\x10\x00" in content else 400
    changed = []
    for k in range(6):
        end = start + (len(content) - start) * k // 6
        changed.append(content[:end] if k % 2 else content[:end] + bytes(len(content) - end))
        flipped = bytearray(content)
        for position in RNG.integers(start, len(content), 1 + 3 * k):
            flipped[position] ^= 1 << int(RNG.integers(8))
        changed.append(bytes(flipped))
    paths = [folder / f"{name} {i}.dcm" for i in range(len(changed))]
    for path, mutant in zip(paths, changed, strict=True):
        path.write_bytes(mutant)
    return paths


@needs_encoders
def test_damaged_streams_of_every_syntax_end_in_facts_or_reasons(tmp_path: Path) -> None:
    """Never a hang, never a lost item; a worker may die, and its item then says so."""
    native = write_native(tmp_path / "native.dcm", smooth_pixels(8, (128, 112)), 8)
    encoders = {**LOSSLESS, **{k: e for k, (e, _) in {**LOSSY, **LOSSY_8_BIT}.items()}}
    items = []
    for number, encode in enumerate(encoders.values()):
        encode(native, tmp_path / "coded.dcm")
        items += [item_of(p) for p in mutants((tmp_path / "coded.dcm").read_bytes(), tmp_path, f"{number}")]
    answers = list(
        map_supervised(
            partial(check_pixels, thresholds=THRESHOLDS),
            items,
            workers=2,
            timeout_s=20,
            memory_limit_bytes=MEMORY_LIMIT_BYTES,
        )
    )
    assert {item.path_bytes for item, _ in answers} == {item.path_bytes for item in items}
    assert len(answers) == len(items) >= 200
    reasons = [answer.reason for _, answer in answers]
    assert "timeout" not in reasons
    assert reasons.count("decoder_crashed") <= 5
    assert sum(reason == "truncated" for reason in reasons) >= len(encoders)


def test_facts_are_plain_values_for_a_table(tmp_path: Path) -> None:
    row = asdict(check(write_native(tmp_path / "image.dcm", smooth_pixels(12), 12)))
    assert set(row) == {"sop_instance_uid", "size_bytes", "modified_ns", "pixel_sha256", *MEASURES} | {
        "flags",
        "reason",
        "detail",
    }
    assert all(type(row[name]) is float for name in MEASURES)
