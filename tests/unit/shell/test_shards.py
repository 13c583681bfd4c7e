"""Results of other machines until the database has them: exact, private, known by the image's file."""

from __future__ import annotations

import resource
import signal
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from spinescore.shell.pipeline import Outcome
from spinescore.shell.pixels.pixel_check import PixelFacts
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.shards import FACTS, folder_name, is_lasting, is_of, outcome_of, read_shard, write_shard

IMAGE = PendingImage("1.2.3", "vfa", b"/a\xff.dcm", 1 << 40, 1_700_000_000_123_456_789)
PIXELS = PixelFacts("1.2.3", 1 << 40, 1_700_000_000_123_456_789, "ab", 0.1, 1 / 3, flags=("low_contrast",))
SCORED = Outcome(
    IMAGE,
    Prepared(None, "ab", "cd", PIXELS, decode_s=0.1, quality_s=0.2, preprocess_s=1 / 3),
    np.random.default_rng(1).dirichlet(np.ones(61)).astype(np.float32),
    0.7,
    "cpu",
    "fp32",
)
FAILED = Outcome(IMAGE, Prepared(None, reason="truncated", detail="half of it"))
TOUCHED = Outcome(
    replace(IMAGE, scored_input_sha256="cd"), Prepared(None, "ab", "cd", decode_s=0.1, preprocess_s=0.2)
)


@pytest.mark.parametrize("outcome", [SCORED, FAILED, TOUCHED], ids=["scored", "failed", "touched"])
def test_what_is_read_is_what_was_written_to_the_bit(outcome: Outcome, tmp_path: Path) -> None:
    (row,) = read_shard(write_shard(tmp_path, [outcome]))
    back = outcome_of(row, outcome.image)
    assert is_of(row, outcome.image)
    assert back.prepared == outcome.prepared
    assert (back.forward_s, back.device, back.precision) == (
        outcome.forward_s,
        outcome.device,
        outcome.precision,
    )
    assert back.failed == outcome.failed
    assert (back.distribution is None) == (outcome.distribution is None)
    if outcome.distribution is not None:
        assert back.distribution is not None
        assert back.distribution.dtype == np.float32
        assert np.array_equal(back.distribution, outcome.distribution)


def test_a_shard_is_its_owners_alone_and_leaves_no_part_behind(tmp_path: Path) -> None:
    path = write_shard(tmp_path, [SCORED])
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_shard(tmp_path / "gone", [SCORED])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_shard(tmp_path, [SCORED])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"size_bytes": 1}, {"modified_ns": 1}, {"kind": "radiograph"}])
def test_a_row_about_another_state_of_the_file_is_not_taken(
    change: dict[str, object], tmp_path: Path
) -> None:
    (row,) = read_shard(write_shard(tmp_path, [SCORED]))
    assert not is_of(row, replace(IMAGE, **change))  # type: ignore[arg-type]


def test_a_failure_is_no_answer_for_a_later_run(tmp_path: Path) -> None:
    scored, failed, touched = read_shard(write_shard(tmp_path, [SCORED, FAILED, TOUCHED]))
    assert is_lasting(scored, IMAGE)
    assert not is_lasting(failed, IMAGE)
    assert is_lasting(touched, TOUCHED.image)
    assert not is_lasting(touched, IMAGE)  # the score it was like is no longer there


def test_what_is_no_shard_has_no_rows(tmp_path: Path) -> None:
    whole = write_shard(tmp_path, [SCORED]).read_bytes()
    for number, content in enumerate((b"", b"PAR1", whole[: len(whole) // 2], whole[:-3])):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(content)
        assert list(read_shard(path)) == []
    assert list(read_shard(tmp_path / "gone.parquet")) == []


def test_every_fact_has_its_column() -> None:
    assert list(FACTS) == [field.name for field in fields(PixelFacts)]


def test_a_folder_is_known_by_all_that_its_rows_depend_on() -> None:
    known = folder_name(model_id="m", version="1")
    assert known == folder_name(version="1", model_id="m")
    assert known != folder_name(model_id="m", version="2")
