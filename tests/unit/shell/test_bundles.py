"""A bundle is loaded as it was written, or not at all."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.errors import BundleError
from spinescore.shell.bundles import Bundle, load_bundle, write_bundle
from tests.unit.tiny_bundle import TINY

SPEC = PreprocessingSpec(height=128, width=64)
WEIGHTS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(4)}


def write(folder: Path, **changes: object) -> Bundle:
    return write_bundle(
        folder / "bundle",
        replace(TINY, **changes),  # type: ignore[arg-type]
        SPEC,
        WEIGHTS,
        training_subjects=["anna", "bert"],
        model_card="# Tiny",
    )


def test_a_bundle_says_what_was_written(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    assert (bundle.name, bundle.version, bundle.backbone) == ("tiny", "1", "efficientnet-b0")
    assert (bundle.first_age, bundle.n_classes, bundle.demonstration) == (40, 61, True)
    assert bundle.spec == SPEC
    read = bundle.read_weights()
    assert all(np.array_equal(read[name], tensor) for name, tensor in WEIGHTS.items())


def test_a_zip_of_it_is_the_same_model(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    flat = Path(shutil.make_archive(str(tmp_path / "flat"), "zip", tmp_path / "bundle"))
    nested = Path(shutil.make_archive(str(tmp_path / "nested"), "zip", tmp_path, "bundle"))
    assert {load_bundle(path).model_id for path in (flat, nested)} == {bundle.model_id}


@pytest.mark.parametrize("name", ["weights.safetensors", "MODEL_CARD.md", "training_subjects.json"])
def test_one_flipped_bit_is_found_and_the_file_named(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    path = tmp_path / "bundle" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=name) as caught:
        load_bundle(tmp_path / "bundle")
    assert caught.value.next_step


def test_an_edited_manifest_is_another_model(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    path = tmp_path / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["first_age"] = 41
    path.write_text(json.dumps(manifest))
    assert load_bundle(tmp_path / "bundle").model_id != bundle.model_id


def test_the_id_is_that_of_weights_and_manifest(tmp_path: Path) -> None:
    first = write(tmp_path / "1").model_id
    assert write(tmp_path / "2").model_id == first
    assert write(tmp_path / "3", version="2").model_id != first


def test_training_subjects_are_known_but_not_named(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    assert bundle.trained_on(["anna", "carla"]) == {"anna"}
    assert b"anna" not in bundle.read_file("training_subjects.json")


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="There is no bundle at"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        load_bundle(tmp_path)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(BundleError, match="neither a folder nor a whole zip"):
        load_bundle(tmp_path / "text.zip")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="lacks backbone"):
        load_bundle(tmp_path)


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../../secret"] = "0"
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="leads out of it"):
        load_bundle(tmp_path / "bundle")


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.tex").write_text("important")
    with pytest.raises(BundleError, match="is no bundle"):
        write(tmp_path)
    assert (tmp_path / "bundle" / "thesis.tex").exists()


def test_a_bundle_is_replaced_by_a_newer_one(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, version="2")
    assert load_bundle(tmp_path / "bundle").version == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_zip_that_would_inflate_without_measure_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinescore.shell.bundles.MOST_FILE_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(2 << 20))
    assert bomb.stat().st_size < 1 << 14
    with pytest.raises(BundleError, match="claims"):
        load_bundle(bomb)


def test_a_zip_with_names_that_lead_out_unpacks_nothing(tmp_path: Path) -> None:
    bundle = tmp_path / "away.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("../manifest.json", "{}")
        archive.writestr("/etc/manifest.json", "{}")
    with pytest.raises(BundleError):
        load_bundle(bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["away.zip"]
