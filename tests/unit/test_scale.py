"""What images need: cases worked by hand, what must hold of all, and the command's refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.core.scale import Machines, StageRates, assess_need
from spinescore.shell.warehouse import open_warehouse

RATES = StageRates(
    decode_s=0.10,
    quality_s=0.02,
    preprocess_s=0.03,
    forward_core_s=0.75,
    forward_gpu_s=0.005,
    commit_s=0.0002,
    image_bytes=8e6,
    database_bytes=4e3,
    canvas_pixels=1024 * 512,
)
GIVEN = [
    "scale",
    "--images",
    "1e5",
    "--decode",
    "0.1",
    "--preprocess",
    "0.05",
    "--image-mb",
    "8",
    "--cores",
    "10",
]

seconds = st.floats(1e-6, 1e3)
rates = st.builds(
    StageRates,
    decode_s=seconds,
    quality_s=seconds,
    preprocess_s=seconds,
    forward_core_s=seconds,
    forward_gpu_s=seconds,
    commit_s=seconds,
    image_bytes=st.floats(1e3, 1e9),
    database_bytes=st.floats(1e2, 1e6),
    canvas_pixels=st.integers(1, 1 << 22),
)
machines = st.builds(
    Machines,
    cores=st.integers(1, 10_000),
    gpus=st.integers(0, 100),
    read_bytes_per_s=st.none() | st.floats(1e3, 1e12),
)


def test_on_processors_preparing_and_the_network_take_turns() -> None:
    # 1e5 x (0.15 + 0.75) s / 16 cores = 5,625 s
    need = assess_need(1e5, RATES, Machines(cores=16))
    assert need.total_s == pytest.approx(5625)
    assert need.seconds == pytest.approx({"prepare": 937.5, "forward": 4687.5, "commit": 20})
    assert need.bottleneck == "forward"
    assert need.rescoring_s == pytest.approx(4687.5)
    assert need.cores_wanted is None
    assert need.to_gpu_bytes == 0


def test_beside_gpus_the_slower_of_the_two_decides() -> None:
    # 1e6 x 0.15 / 64 = 2,343.75 s against 1e6 x 0.005 / 4 = 1,250 s; 0.15 / 0.005 = 30 cores a GPU, 16 are there
    need = assess_need(1e6, RATES, Machines(cores=64, gpus=4))
    assert need.total_s == pytest.approx(2343.75)
    assert need.bottleneck == "prepare"
    assert need.cores_wanted == 30
    enough = assess_need(1e6, RATES, Machines(cores=121, gpus=4))
    assert (enough.total_s, enough.bottleneck) == (pytest.approx(1250), "forward")


def test_an_archive_or_the_one_writer_can_decide() -> None:
    # 1e6 x 8 MB / 1 GB/s = 8,000 s; 1e6 x 0.0002 s = 200 s, which no machine shortens
    slow = assess_need(1e6, RATES, Machines(cores=640, gpus=8, read_bytes_per_s=1e9))
    assert (slow.total_s, slow.bottleneck) == (pytest.approx(8000), "read")
    many = assess_need(1e6, RATES, Machines(cores=10_000, gpus=100))
    assert (many.total_s, many.bottleneck) == (pytest.approx(200), "commit")


def test_bytes_are_counted_by_the_image() -> None:
    # a canvas of 524,288 pixels: 4 bytes each to a GPU, 1 byte each kept
    need = assess_need(1e8, RATES, Machines(cores=1, gpus=1))
    assert need.read_bytes == pytest.approx(8e14)
    assert need.to_gpu_bytes == pytest.approx(2.097152e14)
    assert need.kept_bytes == pytest.approx(5.24288e13)
    assert need.database_bytes == pytest.approx(4e11)


def test_a_rate_that_is_not_known_is_not_made_up() -> None:
    with pytest.raises(ValueError, match="not known"):
        assess_need(1, replace(RATES, forward_gpu_s=None), Machines(cores=1, gpus=1))


@given(rates, machines, st.floats(1, 1e9))
def test_twice_the_images_take_twice_of_everything(
    known: StageRates, there: Machines, n_images: float
) -> None:
    once, twice = assess_need(n_images, known, there), assess_need(2 * n_images, known, there)
    assert twice.total_s == pytest.approx(2 * once.total_s)
    assert twice.kept_bytes == pytest.approx(2 * once.kept_bytes)
    assert twice.bottleneck == once.bottleneck


@given(rates, machines)
def test_more_machines_are_never_slower_and_no_stage_takes_longer_than_all(
    known: StageRates, there: Machines
) -> None:
    need = assess_need(1e6, known, there)
    assert max(need.seconds.values()) <= need.total_s * (1 + 1e-12)
    assert need.rescoring_s <= need.total_s * (1 + 1e-12)
    assert assess_need(1e6, known, replace(there, cores=2 * there.cores)).total_s <= need.total_s
    if there.gpus:
        assert assess_need(1e6, known, replace(there, gpus=2 * there.gpus)).total_s <= need.total_s


@given(rates, st.integers(1, 8))
def test_the_cores_it_names_keep_a_gpu_busy_and_one_fewer_would_not(known: StageRates, gpus: int) -> None:
    wanted = assess_need(1, known, Machines(cores=1, gpus=gpus)).cores_wanted
    assert wanted is not None
    need = assess_need(1e6, known, Machines(cores=wanted * gpus, gpus=gpus))
    assert need.seconds["prepare"] <= need.seconds["forward"] * (1 + 1e-6)
    if wanted > 1:
        need = assess_need(1e6, known, Machines(cores=(wanted - 1) * gpus, gpus=gpus))
        assert need.seconds["prepare"] > need.seconds["forward"] * (1 - 1e-6)


def test_the_command_says_what_bounds_it() -> None:
    # 1e5 x 0.15 / 10 = 1,500 s against 1e5 x 0.005 = 500 s
    run = CliRunner().invoke(app, [*GIVEN, "--gpus", "1", "--gpu-forward", "0.005"])
    assert run.exit_code == 0
    assert "Bound by decoding, quality and preprocessing." in run.output
    assert "0.417 h" in run.output
    told = json.loads(
        CliRunner().invoke(app, [*GIVEN, "--gpus", "1", "--gpu-forward", "0.005", "--json"]).output
    )
    assert told["total_s"] == pytest.approx(1500)
    assert told["cores_per_gpu"] == pytest.approx(30)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "--forward"),
        (["--gpus", "2"], "--gpu-forward"),
        (["--forward", "0"], "--forward"),
        (["--forward", "1", "--canvas", "1024"], "--canvas"),
    ],
)
def test_what_is_missing_or_wrong_is_named(options: list[str], named: str) -> None:
    run = CliRunner().invoke(app, [*GIVEN, *options], env={"COLUMNS": "200"})
    assert run.exit_code == 2
    assert named in run.output


def test_a_database_gives_what_was_measured_and_an_option_overrules_it(database: Path) -> None:
    """Two images of 3 MB and 5 MB, scored on a processor of four cores."""
    rows = [("1.1", 0.1, 0.3, 3_000_000), ("1.2", 0.3, 0.5, 5_000_000)]
    made = pl.DataFrame(rows, ["sop_instance_uid", "decode_s", "forward_s", "size_bytes"], orient="row")
    file = {"path_bytes": b"x", "modified_ns": 1, "run_id": 1, "kind": "vfa"}
    image = {"photometric": "M", "transfer_syntax": "T", "rows": 1, "columns": 1, "bits_stored": 8}
    score = {"spine_age": 60.0, "spine_age_rounded": 60, "spine_age_sd": 1.0, "age_distribution": [1.0]}
    model = {"model_id": "m", "name": "n", "version": "1", "run_id": 1}
    with open_warehouse(database, create=True) as warehouse:
        images = made.select("sop_instance_uid", "size_bytes")
        about = file | image | {"synthetic": True, "eligibility_rule": "r"}
        warehouse.append("images", images.with_columns(**{k: pl.lit(v) for k, v in about.items()}))
        about = file | {"device": "cpu", "precision": "fp32", "model_id": "m", "preprocessing_id": "p"}
        about = about | {"pixel_sha256": "p", "preprocess_s": 0.05} | score
        about.pop("path_bytes")
        scores = made.with_columns(**{k: pl.lit(v) for k, v in about.items()})
        warehouse.append("scores", scores)
        manifest = json.dumps({"preprocessing": {"height": 256, "width": 128}})
        warehouse.append("models", pl.DataFrame([model | {"manifest": manifest}]))
    command = ["scale", "--images", "1e6", "-d", str(database), "--measured-cores", "4", "--json"]
    rates = json.loads(CliRunner().invoke(app, command).output)["rates"]
    expected = {
        "decode_s": 0.2,
        "quality_s": 0,
        "preprocess_s": 0.05,
        "forward_core_s": 1.6,
        "image_bytes": 4e6,
    }
    assert {name: rates[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert rates["canvas_pixels"] == 256 * 128
    assert rates["forward_gpu_s"] is None
    overruled = json.loads(CliRunner().invoke(app, [*command, "--decode", "0.7"]).output)["rates"]
    assert (overruled["decode_s"], overruled["preprocess_s"]) == (0.7, pytest.approx(0.05))


def test_a_database_without_stage_times_says_so(database: Path) -> None:
    open_warehouse(database, create=True).__exit__()
    run = CliRunner().invoke(app, ["scale", "--images", "10", "-d", str(database)], env={"COLUMNS": "200"})
    assert run.exit_code == 2
    assert "score something first" in run.output
