"""Inputs kept on disk: without loss, private, proved by their names, within their limit."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.imaging.preprocessing import FloatImage, PreprocessingSpec, preprocess
from spinescore.shell.input_cache import InputCache, hash_input

EXACT = PreprocessingSpec(height=64, width=32)
SPECS = [EXACT, replace(EXACT, eight_bit=True), replace(EXACT, eight_bit=True).shrunk(2)]


def draw_input(spec: PreprocessingSpec, seed: int = 0) -> FloatImage:
    pixels = np.random.default_rng(seed).integers(0, 4096, (150, 90)).astype(np.uint16)
    return preprocess(pixels, kind="vfa", photometric="MONOCHROME2", spec=spec)


def fill(cache: InputCache, n: int) -> list[str]:
    names = []
    for seed in range(n):
        image = draw_input(cache.spec, seed)
        names.append(hash_input(image))
        assert cache.write(names[-1], image)
    return names


@pytest.mark.parametrize(
    ("spec", "n_bytes"), [(SPECS[0], 64 * 32 * 4), (SPECS[1], 64 * 32), (SPECS[2], 32 * 16 * 4)]
)
def test_what_is_kept_comes_back_to_the_bit(tmp_path: Path, spec: PreprocessingSpec, n_bytes: int) -> None:
    cache = InputCache(tmp_path / "cache", spec, 1 << 30)
    image = draw_input(spec)
    name = hash_input(image)
    assert cache.read(name) is None
    assert not cache.holds(name)
    assert cache.write(name, image)
    assert cache.holds(name)
    np.testing.assert_array_equal(cache.read(name), image)
    (file,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert file.stat().st_size == cache.image_bytes == n_bytes


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", EXACT, 1 << 30)
    cache.make_room(1)
    fill(cache, 1)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert modes == {0o600}
    folders = [tmp_path / "cache", *(path for path in (tmp_path / "cache").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_input_is_none_and_goes(tmp_path: Path, damage: bytes | None) -> None:
    cache = InputCache(tmp_path, EXACT, 1 << 30)
    (name,) = fill(cache, 1)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:] if damage is None else damage)
    assert cache.read(name) is None
    assert not cache.holds(name)


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = InputCache(tmp_path / "file", EXACT, 1 << 30)
    image = draw_input(EXACT)
    assert not cache.write(hash_input(image), image)
    assert cache.read(hash_input(image)) is None
    with pytest.raises(OSError, match="file"):
        cache.make_room(1)


def test_room_counts_what_is_there(tmp_path: Path) -> None:
    cache = InputCache(tmp_path, EXACT, 10 * EXACT.height * EXACT.width * 4 + 17)
    assert cache.make_room(5) == 5
    assert cache.make_room(50) == 10
    fill(cache, 4)
    assert cache.make_room(50) == 6
    assert replace(cache, limit_bytes=3 * cache.image_bytes).make_room(1) == 0
    assert all(map(cache.holds, fill(cache, 4)))  # a full cache keeps what it has


def test_other_preprocessings_make_room_the_longest_unused_first(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("not a cache")
    old, newer, own = (replace(EXACT, version=number) for number in (2, 3, 4))
    for age, spec in ((2000, old), (1000, newer)):
        fill(InputCache(tmp_path, spec, 1 << 30), 3)
        os.utime(tmp_path / spec.preprocessing_id, (age and 1e9 - age,) * 2)
    cache = InputCache(tmp_path, own, 7 * EXACT.height * EXACT.width * 4)
    assert cache.make_room(1) == 1
    assert len(list(tmp_path.iterdir())) == 4
    assert cache.make_room(2) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes",
        newer.preprocessing_id,
        own.preprocessing_id,
    }
    fill(cache, 1)
    assert cache.make_room(50) == 6
    assert {path.name for path in tmp_path.iterdir()} == {"notes", own.preprocessing_id}
