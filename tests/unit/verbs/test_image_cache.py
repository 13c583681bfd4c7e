"""Scoring with an image cache: the same scores to the bit, and nothing decoded a second time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.score import CacheRequest, ScoreRequest, score
from spinescore.shell.bundles import Bundle
from spinescore.shell.warehouse import open_warehouse
from tests.unit.untrained_bundle import write_untrained

N = 3
SPEC = PreprocessingSpec(height=64, width=32)
OF_THE_SCORE = ("sop_instance_uid", "spine_age", "spine_age_sd", "pixel_sha256", "input_sha256")


@pytest.fixture(scope="module", params=[SPEC, replace(SPEC, eight_bit=True)], ids=["exact", "eight bit"])
def bundles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return [write_untrained(folder / str(seed), request.param, seed) for seed in (1, 2)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, who in enumerate(draw_people(N, seed=5, cohort="derivation")):
        rendered = render(who, kind="radiograph", seed=5, height=300)
        dataset(rendered, who, seed=5).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def score_with(
    database: Path, images: Path, bundle: Bundle, cache: CacheRequest | None
) -> tuple[pl.DataFrame, str]:
    """Return the model's scores and what was announced."""
    said: list[str] = []
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([images], workers=1))
        request = ScoreRequest(bundle, device="cpu", force_demo=True, workers=1, cache=cache)
        score(warehouse, request, announce=said.append)
        scores = warehouse.table("scores").filter(pl.col("model_id") == bundle.model_id)
    return scores.sort("sop_instance_uid"), " ".join(said)


def test_a_second_model_decodes_nothing_and_scores_the_same(
    bundles: list[Bundle], images: Path, tmp_path: Path
) -> None:
    first, second = bundles
    cache = CacheRequest(tmp_path / "cache", 1 << 30)
    expected, _ = score_with(tmp_path / "plain.duckdb", images, second, None)
    made, said = score_with(tmp_path / "cached.duckdb", images, first, cache)
    assert f"0 of {N} inputs from the cache" in said
    assert made["decode_s"].null_count() == 0
    found, said = score_with(tmp_path / "cached.duckdb", images, second, cache)
    assert f"{N} of {N} inputs from the cache" in said
    assert found["decode_s"].null_count() == N
    assert_frame_equal(found.select(OF_THE_SCORE), expected.select(OF_THE_SCORE), check_exact=True)


def test_what_is_gone_damaged_or_changed_is_treated_as_without_a_cache(
    bundles: list[Bundle], images: Path, tmp_path: Path
) -> None:
    first, second = bundles
    cache = CacheRequest(tmp_path / "cache", 1 << 30)
    database = tmp_path / "a.duckdb"
    made, _ = score_with(database, images, first, cache)
    gone, damaged = sorted(path for path in cache.folder.rglob("*") if path.is_file())[:2]
    gone.unlink()
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    changed = made.filter(~pl.col("input_sha256").is_in([gone.name, damaged.name]))
    with open_warehouse(database) as warehouse:
        paths = dict(warehouse.table("images").select("sop_instance_uid", "path_bytes").iter_rows())
        Path(paths[changed["sop_instance_uid"][0]].decode()).write_bytes(b"another file")
        score(warehouse, ScoreRequest(second, device="cpu", force_demo=True, workers=1, cache=cache))
        failures = warehouse.table("score_failures")
        scores = warehouse.table("scores").filter(pl.col("model_id") == second.model_id)
    assert failures.select("sop_instance_uid", "reason").rows() == [
        (changed["sop_instance_uid"][0], "changed")
    ]
    assert scores["decode_s"].null_count() == 0
    assert set(scores["input_sha256"]) == {gone.name, damaged.name}
    kept = {path.name for path in cache.folder.rglob("*") if path.is_file()}
    assert kept == set(made["input_sha256"])


def test_a_cache_without_room_or_place_changes_nothing(
    bundles: list[Bundle], images: Path, tmp_path: Path
) -> None:
    expected, _ = score_with(tmp_path / "plain.duckdb", images, bundles[0], None)
    room_for_one = CacheRequest(tmp_path / "cache", 64 * 32 * (1 if bundles[0].spec.eight_bit else 4) + 10)
    small, said = score_with(tmp_path / "small.duckdb", images, bundles[0], room_for_one)
    assert sum(path.is_file() for path in room_for_one.folder.rglob("*")) == 1
    assert "no room for 2 more" in said
    (tmp_path / "file").touch()
    nowhere, said = score_with(
        tmp_path / "none.duckdb", images, bundles[0], CacheRequest(tmp_path / "file", 1 << 30)
    )
    assert "no inputs are kept" in said.lower()
    for scores in (small, nowhere):
        assert_frame_equal(scores.select(OF_THE_SCORE), expected.select(OF_THE_SCORE), check_exact=True)
