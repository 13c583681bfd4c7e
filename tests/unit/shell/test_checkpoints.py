"""A checkpoint file is read without running it, becomes a bundle that computes the same, or is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.age_distribution import expectation, softmax
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.errors import CheckpointError
from spinescore.shell.bundles import load_bundle
from spinescore.shell.checkpoints import Checkpoint, ImportRequest, import_checkpoint, read_checkpoint
from spinescore.shell.inference.openvino_backend import OpenVinoBackend
from spinescore.shell.inference.torch_network import build_network
from spinescore.shell.warehouse import open_warehouse
from tests.unit.network.study_network import build_study_network, draw_grey_images

RUNNER = CliRunner()
LOGIT_TOLERANCE = 1e-5
AGE_TOLERANCE_YEARS = 1e-3  # of the sharpened distribution, whose logits have an SD of 1


class Payload:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def pth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "verte-x.pth"
    torch.save(build_study_network("efficientnet-b0").state_dict(), path)
    return path


def refusal(path: Path, **how: int) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path, **how)
    assert caught.value.next_step
    return caught.value


def save(content: object, *, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


@pytest.mark.parametrize("backbone", ["efficientnet-b0", "efficientnet-b4"])
def test_the_imported_bundle_computes_the_studys_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    """On a smaller canvas than the bundle's for the sake of time; the padding is that of any size."""
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path / "home"))
    study = build_study_network(backbone)
    torch.save(study.state_dict(), tmp_path / "a.pth")
    imported = import_checkpoint(ImportRequest(checkpoint=tmp_path / "a.pth", output=tmp_path / "bundle"))
    assert imported.backbone == backbone
    bundle = replace(imported, spec=PreprocessingSpec(height=256, width=128))
    grey = draw_grey_images(2, 256, 128)
    with torch.no_grad():
        expected = study(grey.repeat(1, 3, 1, 1)).numpy()
        by_torch = build_network(bundle)(grey).numpy()
    by_openvino = np.array(OpenVinoBackend(bundle, 2)._network([grey.numpy()])[0])
    for logits in (by_torch, by_openvino):
        assert np.abs(logits - expected).max() < LOGIT_TOLERANCE
        ages, study_ages = (expectation(softmax(x / expected.std()), 40) for x in (logits, expected))
        assert np.abs(ages - study_ages).max() < AGE_TOLERANCE_YEARS
    assert expected.std() > 1000 * LOGIT_TOLERANCE
    assert np.abs(expected[0] - expected[1]).max() > 100 * LOGIT_TOLERANCE


def test_import_says_what_it_found_and_the_bundle_scores_a_phantom(pth: Path, tmp_path: Path) -> None:
    """Imported weights are no demonstration: nothing has to be forced."""
    bundle, database = tmp_path / "bundle", tmp_path / "a.duckdb"
    said = RUNNER.invoke(app, ["model", "import", str(pth), "--output", str(bundle)], catch_exceptions=False)
    assert said.exit_code == 0
    assert "efficientnet-b0, recognised from its tensors" in said.stdout
    assert "40 to 100" in said.stdout
    assert "--licence, --intended-use, --training-data" in said.stdout
    shown = json.loads(RUNNER.invoke(app, ["model", "show", str(bundle), "--json"]).stdout)
    assert shown["origin"]["checkpoint_sha256"] == hashlib.sha256(pth.read_bytes()).hexdigest()
    assert (shown["licence"], shown["age_range"], shown["n_training_subjects"]) == ("not stated", None, None)
    assert "every file is as its manifest says" in RUNNER.invoke(app, ["model", "verify", str(bundle)]).stdout
    (tmp_path / "in").mkdir()
    for person in draw_people(2, seed=5, cohort="derivation"):
        image = dataset(render(person, kind="radiograph", seed=5, height=300), person, seed=5)
        image.save_as(tmp_path / "in" / f"{person.subject_id}.dcm", enforce_file_format=True)
    at = ["--database", str(database)]
    RUNNER.invoke(app, ["ingest", str(tmp_path / "in"), *at], catch_exceptions=False)
    scored = RUNNER.invoke(
        app, ["score", *at, "--model", str(bundle), "--device", "cpu"], catch_exceptions=False
    )
    assert scored.exit_code == 0
    with open_warehouse(database) as warehouse:
        scores = warehouse.table("scores")
    assert scores["model_id"].to_list() == [shown["model_id"]] * 2
    assert scores["spine_age"].is_between(40, 100).all()


def test_the_same_checkpoint_gives_the_same_bundle_byte_for_byte(pth: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.pth"
    copy.write_bytes(pth.read_bytes())
    for source, name in ((pth, "1"), (copy, "2")):
        import_checkpoint(ImportRequest(checkpoint=source, output=tmp_path / name))
    files = [{f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in "12"]
    assert files[0] == files[1]


def test_the_program_that_imported_is_told_but_no_part_of_the_id(pth: Path, tmp_path: Path) -> None:
    bundle = import_checkpoint(ImportRequest(checkpoint=pth, output=tmp_path / "bundle"))
    path = tmp_path / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["made_by"].startswith("spinescore ")
    path.write_text(json.dumps({**manifest, "made_by": "spinescore 99"}))
    assert load_bundle(tmp_path / "bundle").model_id == bundle.model_id


def test_what_the_owner_says_is_in_manifest_and_card(pth: Path, tmp_path: Path) -> None:
    told = {"name": "verte-x", "version": "3", "licence": "CC BY-NC", "intended_use": "Research"}
    request = ImportRequest(
        checkpoint=pth, output=tmp_path / "b", first_age=38, training_data="10 films", **told
    )
    bundle = import_checkpoint(request)
    assert {key: bundle.manifest[key] for key in told} == told
    card = bundle.read_file("MODEL_CARD.md").decode()
    for text in (*told.values(), "10 films", "Ages 38 to 98", "## What is not known"):
        assert text in card


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_an_output_that_exists_is_left_alone(pth: Path, tmp_path: Path, make: object) -> None:
    make(tmp_path / "bundle")  # type: ignore[operator]
    with pytest.raises(CheckpointError, match="exists already") as caught:
        import_checkpoint(ImportRequest(checkpoint=pth, output=tmp_path / "bundle"))
    assert caught.value.reason == "output_exists"


def test_a_refused_checkpoint_leaves_nothing_behind(tmp_path: Path) -> None:
    torch.save({"fclayer2.weight": torch.zeros(1, 100)}, tmp_path / "fracture.pth")
    done = RUNNER.invoke(
        app, ["model", "import", str(tmp_path / "fracture.pth"), "--output", str(tmp_path / "bundle")]
    )
    assert isinstance(done.exception, CheckpointError)
    assert [path.name for path in tmp_path.iterdir()] == ["fracture.pth"]


@pytest.mark.parametrize("form", ["zip", "older", "pickle", "pickle protocol 0"])
def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path: Path, form: str) -> None:
    payload = {"state_dict": {"a": torch.zeros(2)}, "note": Payload(tmp_path / "pwned")}
    content = {
        "zip": lambda: save(payload),
        "older": lambda: save(payload, zipped=False),
        "pickle": lambda: pickle.dumps(payload["note"]),
        "pickle protocol 0": lambda: pickle.dumps(payload["note"], protocol=0),
    }[form]()
    (tmp_path / "a.pth").write_bytes(content)
    error = refusal(tmp_path / "a.pth")
    assert not (tmp_path / "pwned").exists()
    assert error.reason == "code"
    assert f"{os.name}.mkdir" in error.message
    assert "Nothing of it was run" in error.message
    pickle.loads(pickle.dumps(payload["note"]))
    assert (tmp_path / "pwned").exists(), "the payload must work, or this test shows nothing"


def test_a_whole_network_and_a_program_are_refused_as_code(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(save(torch.nn.Linear(2, 2)))
    error = refusal(tmp_path / "a.pth")
    assert (error.reason, "torch.nn.modules.linear.Linear" in error.message) == ("code", True)
    assert "state_dict()" in error.next_step
    with zipfile.ZipFile(tmp_path / "script.pth", "w") as archive:
        archive.writestr("m/constants.pkl", b"")
    assert refusal(tmp_path / "script.pth").reason == "code"


@pytest.mark.parametrize("zipped", [True, False])
def test_both_of_torchs_formats_are_read(tmp_path: Path, zipped: bool) -> None:
    (tmp_path / "a.pth").write_bytes(save({"a": torch.arange(5)}, zipped=zipped))
    read = read_checkpoint(tmp_path / "a.pth")
    assert torch.equal(read.content["a"], torch.arange(5))  # type: ignore[index]
    assert read.sha256 == hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_cut_anywhere_is_refused(tmp_path: Path, zipped: bool) -> None:
    whole = save({"a": torch.rand(300), "b": torch.rand(20)}, zipped=zipped)
    for kept in [*range(64, len(whole), 97), len(whole) - 1]:
        (tmp_path / "a.pth").write_bytes(whole[:kept])
        assert refusal(tmp_path / "a.pth").reason == "truncated"


def test_one_flipped_bit_of_a_weight_is_found(tmp_path: Path) -> None:
    """torch itself does not look at the zip's checksums."""
    content = bytearray(save({"a": torch.zeros(4000)}))
    content[len(content) // 2] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    torch.load(tmp_path / "a.pth", weights_only=True)
    assert refusal(tmp_path / "a.pth").reason == "truncated"


@pytest.mark.parametrize("zipped", [True, False])
def test_whatever_byte_is_damaged_it_is_read_or_refused(tmp_path: Path, zipped: bool) -> None:
    whole = save({"a": torch.rand(4), "b": {"c": [1, 2.5, "text"]}}, zipped=zipped)
    rng = np.random.default_rng(4)
    refused = 0
    for place in rng.choice(len(whole), size=300):
        content = bytearray(whole)
        content[place] = rng.integers(256)
        (tmp_path / "a.pth").write_bytes(content)
        try:
            assert isinstance(read_checkpoint(tmp_path / "a.pth"), Checkpoint)
        except CheckpointError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, this is a text", b"\x89PNG\r\n\x1a\n" + bytes(99), pickle.dumps({"a": 1}), bytes(999)],
    ids=["empty", "text", "image", "plain pickle", "zeros"],
)
def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    assert refusal(tmp_path / "a.pth").reason in {"not_a_checkpoint", "truncated"}
    if content:
        assert refusal(tmp_path / "a.pth").reason == "not_a_checkpoint"


def test_a_zip_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("film.dcm", b"DICM")
    assert refusal(tmp_path / "a.pth").reason == "not_a_checkpoint"


def test_huge_files_and_bombs_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(save({"a": torch.zeros(1000)}))
    assert refusal(tmp_path / "a.pth", largest_bytes=1000).reason == "too_large"
    with (tmp_path / "sparse.pth").open("wb") as file:
        file.truncate(5 << 30)
    assert refusal(tmp_path / "sparse.pth").reason == "too_large"
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(10 << 20))
    assert refusal(tmp_path / "bomb.pth", largest_bytes=1 << 20).reason == "too_large"
    assert refusal(tmp_path / "bomb.pth").reason == "not_a_checkpoint"


def test_a_path_without_a_file_is_said_to_have_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path, tmp_path / "nowhere.pth", tmp_path / "pipe.pth"):
        assert refusal(path).reason == "no_file"
