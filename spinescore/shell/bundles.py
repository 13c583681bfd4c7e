"""Model bundles on disk: a folder, or a zip of it, whose every file is known by its SHA-256.

``manifest.json`` says what the model is, ``weights.safetensors`` holds it, ``MODEL_CARD.md``
tells people about it, ``training_subjects.json`` names (by hash) whom it was trained on,
``validation_subjects.json`` who chose its weights, its correction and its temperature.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.errors import BundleError

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
MODEL_CARD = "MODEL_CARD.md"
TRAINING_SUBJECTS = "training_subjects.json"
VALIDATION_SUBJECTS = "validation_subjects.json"
CORRECTION = "correction.json"
FORMAT = 1
MOST_FILE_BYTES = 1 << 30  # four times the weights of the largest network there is
NOT_OF_THE_MODEL = frozenset({"files", "made_by"})  # manifest entries that change no number it gives
LEFT_OUT_IF_NONE = frozenset({"origin", "made_by", "temperature", "recalibration"})
GET_ANOTHER = "Get the bundle again from where it came from."


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDescription:
    """What a manifest says of a model besides its files; written by whoever makes a bundle.

    Parameters
    ----------
    name, version, intended_use, licence, training_data : str
        For people.
    backbone : str
        ``efficientnet-b0`` ... ``efficientnet-b7``.
    first_age, n_classes : int
        The first class's age in years, and how many classes of one year there are.
    age_range : (float, float) or None
        Ages it was trained on, years; None if that is not known.
    synthetic : bool
        Trained on phantoms: a demonstration that may score nothing else.
    training_seeds : tuple of int
        Seeds of the phantoms it was trained on.
    metrics : mapping
        Its accuracy on the test part, by kind.
    origin : mapping
        Of imported weights: the checkpoint's SHA-256 and what was made of it.
    made_by : str
        Program and version that wrote the bundle; no part of the model's id.
    temperature : float, optional
        By which the logits are divided before the softmax; 1 if left out (core.network.recalibration).
    recalibration : mapping, optional
        On what the temperature was fitted, and what it changed.
    """

    name: str
    version: str
    intended_use: str
    licence: str
    backbone: str
    first_age: int
    n_classes: int
    age_range: tuple[float, float] | None
    training_data: str
    synthetic: bool
    training_seeds: tuple[int, ...] = ()
    metrics: Mapping[str, Any]
    origin: Mapping[str, Any] | None = None
    made_by: str | None = None
    temperature: float | None = None
    recalibration: Mapping[str, Any] | None = None

    @property
    def ages_in_training(self) -> str:
        """The ages it was trained on, as a model card says it."""
        if self.age_range is None:
            return "not known"
        return f"{self.age_range[0]:.0f} to {self.age_range[1]:.0f} years"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were found as the manifest says.

    Parameters
    ----------
    path : Path
        The folder or zip.
    manifest : dict
        As read.
    spec : PreprocessingSpec
        The preprocessing that belongs to the weights.
    model_id : str
        First 16 hex digits of the SHA-256 of weights and manifest (its file list left out).
    """

    path: Path
    manifest: dict[str, Any]
    spec: PreprocessingSpec
    model_id: str

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.manifest["name"])

    @property
    def version(self) -> str:
        """The model's version."""
        return str(self.manifest["version"])

    @property
    def backbone(self) -> str:
        """The EfficientNet it is made of."""
        return str(self.manifest["backbone"])

    @property
    def first_age(self) -> int:
        """Age of the first class, years."""
        return int(self.manifest["first_age"])

    @property
    def n_classes(self) -> int:
        """Number of ages."""
        return int(self.manifest["n_classes"])

    @property
    def temperature(self) -> float:
        """By which the logits are divided before the softmax."""
        return float(self.manifest.get("temperature", 1.0))

    @property
    def demonstration(self) -> bool:
        """Whether it was trained on phantoms and may score nothing else."""
        return bool(self.manifest["synthetic"])

    def read_file(self, name: str) -> bytes:
        """Return a file of the bundle, checked against its hash.

        Raises
        ------
        BundleError
            If it is missing or altered.
        """
        content = _read_member(self.path, name)
        if hashlib.sha256(content).hexdigest() != self.manifest["files"].get(name):
            raise BundleError(f"{name} in {self.path} is not the file its manifest names.", GET_ANOTHER)
        return content

    def read_weights(self) -> dict[str, NDArray[Any]]:
        """Return the network's state by name (numpy, no torch)."""
        from safetensors.numpy import load

        return load(self.read_file(WEIGHTS))

    def trained_on(self, subject_ids: Iterable[str]) -> set[str]:
        """Return those of the subjects that the network was trained on."""
        known = self.read_fingerprints(TRAINING_SUBJECTS)
        return {subject_id for subject_id in subject_ids if fingerprint_subject(subject_id) in known}

    def validated_on(self, subject_ids: Iterable[str]) -> set[str]:
        """Return those of the subjects on whom its training was stopped, corrected and recalibrated."""
        if VALIDATION_SUBJECTS not in self.manifest["files"]:
            return set()  # imported weights, and bundles older than the list
        known = self.read_fingerprints(VALIDATION_SUBJECTS)
        return {subject_id for subject_id in subject_ids if fingerprint_subject(subject_id) in known}

    def read_fingerprints(self, name: str) -> set[str]:
        """Return the hashes in one of the bundle's lists of subjects."""
        return set(json.loads(self.read_file(name)))


def find_bundle(name: str | Path) -> Bundle:
    """Load the bundle a study file or a command names: ``demo`` for the shipped one, else a folder or zip.

    Raises
    ------
    BundleError
        As ``load_bundle``.
    """
    return load_bundle(demo_bundle_path() if str(name) == "demo" else Path(name))


def demo_bundle_path() -> Path:
    """Return where the shipped demonstration bundle lies."""
    return Path(__file__).resolve().parents[1] / "data" / "demo-bundle"


def fingerprint_subject(subject_id: str) -> str:
    """Return 16 hex digits by which a bundle knows a training subject without naming it."""
    return hashlib.sha256(f"spinescore training subject {subject_id}".encode()).hexdigest()[:16]


def load_bundle(path: Path) -> Bundle:
    """Read a bundle and check every file against its hash before anything is used.

    Parameters
    ----------
    path : Path
        Folder or zip.

    Raises
    ------
    BundleError
        If it is missing, malformed or altered; names the file.
    """
    manifest = _read_manifest(path)
    files = manifest["files"]
    try:
        spec = PreprocessingSpec.from_dict(manifest["preprocessing"])
    except TypeError as error:
        raise BundleError(f"The manifest of {path} has no usable preprocessing.", GET_ANOTHER) from error
    bundle = Bundle(path, manifest, spec, compute_model_id(manifest))
    for name in files:
        bundle.read_file(name)
    return bundle


def compute_model_id(manifest: Mapping[str, Any]) -> str:
    """Return the model's id: its weights and what the manifest says of it.

    The other files' hashes are left out, so that a correction fitted for a model can join its bundle,
    and so is the program that wrote it: the same weights imported by two versions are one model.
    """
    content = {key: value for key, value in manifest.items() if key not in NOT_OF_THE_MODEL}
    content["weights_sha256"] = manifest["files"][WEIGHTS]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()[:16]


def write_bundle(
    folder: Path,
    description: BundleDescription,
    spec: PreprocessingSpec,
    weights: Mapping[str, NDArray[Any]],
    *,
    training_subjects: Iterable[str] | None,
    validation_subjects: Iterable[str] | None = None,
    initial: Bundle | None = None,
    model_card: str,
) -> Bundle:
    """Write a bundle folder, whole or not at all, and return it as loaded.

    Parameters
    ----------
    folder : Path
        Replaced if it is a bundle already.
    description, spec, weights
        The model.
    training_subjects : iterable of str or None
        Their ids; only fingerprints are kept. None if they are not known.
    validation_subjects : iterable of str, optional
        Likewise, of those on whom training was stopped.
    initial : Bundle, optional
        Whose weights these were trained from: its training subjects are theirs too.
    model_card : str
        Markdown.

    Raises
    ------
    BundleError
        If the folder exists and is no bundle.
    """
    from safetensors.numpy import save

    refuse_other_folder(folder)
    given = () if training_subjects is None else training_subjects
    known = {fingerprint_subject(subject_id) for subject_id in given}
    inherited = set() if initial is None else initial.read_fingerprints(TRAINING_SUBJECTS)
    fingerprints = sorted(known | inherited)
    contents = {
        WEIGHTS: save({name: np.asarray(tensor, order="C") for name, tensor in weights.items()}),
        TRAINING_SUBJECTS: json.dumps(fingerprints).encode(),
        MODEL_CARD: model_card.encode(),
    }
    if validation_subjects is not None:
        validated = sorted({fingerprint_subject(subject_id) for subject_id in validation_subjects})
        contents[VALIDATION_SUBJECTS] = json.dumps(validated).encode()
    manifest = {"format": FORMAT, **_stated(description), "preprocessing": spec.to_dict()}
    unknown = training_subjects is None or (
        initial is not None and initial.manifest["n_training_subjects"] is None
    )
    manifest["n_training_subjects"] = None if unknown else len(fingerprints)
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    _replace_folder(folder, contents)
    return load_bundle(folder)


def add_correction(bundle: Bundle, content: str) -> Bundle:
    """Let a correction join its model's bundle folder, and return the bundle as loaded; its id stays."""
    contents = {name: bundle.read_file(name) for name in bundle.manifest["files"]}
    contents[CORRECTION] = content.encode()
    manifest = {**bundle.manifest}
    manifest["files"] = {name: hashlib.sha256(held).hexdigest() for name, held in contents.items()}
    contents[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    _replace_folder(bundle.path, contents)
    return load_bundle(bundle.path)


def copy_bundle(
    bundle: Bundle, folder: Path, *, changes: Mapping[str, Any], without: Iterable[str], model_card: str
) -> Bundle:
    """Write a bundle again with other statements in its manifest, and return it as loaded.

    Parameters
    ----------
    bundle : Bundle
        Whose files are copied, checked.
    folder : Path
        Replaced if it is a bundle already.
    changes : mapping
        Manifest entries that replace or join the bundle's own.
    without : iterable of str
        Files left behind.
    model_card : str
        Markdown, in place of the bundle's own.

    Raises
    ------
    BundleError
        If the folder exists and is no bundle.
    """
    refuse_other_folder(folder)
    kept = [name for name in bundle.manifest["files"] if name not in set(without)]
    contents = {name: bundle.read_file(name) for name in kept} | {MODEL_CARD: model_card.encode()}
    manifest = {**bundle.manifest, **changes}
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    _replace_folder(folder, contents)
    return load_bundle(folder)


def refuse_other_folder(folder: Path) -> None:
    """Raise ``BundleError`` if a folder exists that holds no bundle: it is not ours to replace."""
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder} exists and is no bundle.", "Name a new folder.")


def _stated(description: BundleDescription) -> dict[str, Any]:
    """Return a description by name, without provenance a trained bundle does not have."""
    stated = asdict(description)
    return {k: v for k, v in stated.items() if v is not None or k not in LEFT_OUT_IF_NONE}


def _replace_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        for name, content in contents.items():
            (fresh / name).write_bytes(content)
        if folder.exists():
            shutil.move(folder, Path(scratch) / "old")
        fresh.rename(folder)


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read manifest.json and check that it names what a bundle needs."""
    try:
        manifest = json.loads(_read_member(path, MANIFEST))
    except ValueError as error:
        raise BundleError(f"{MANIFEST} in {path} is not JSON.", GET_ANOTHER) from error
    needed = {"name", "version", "backbone", "first_age", "n_classes", "synthetic", "preprocessing", "files"}
    missing = sorted(needed - set(manifest)) if isinstance(manifest, dict) else sorted(needed)
    if missing:
        raise BundleError(f"{MANIFEST} in {path} lacks {', '.join(missing)}.", GET_ANOTHER)
    if WEIGHTS not in manifest["files"]:
        raise BundleError(f"{MANIFEST} in {path} names no {WEIGHTS}.", GET_ANOTHER)
    return dict(manifest)


def _read_member(path: Path, name: str) -> bytes:
    if Path(name).name != name:
        raise BundleError(f"{path} names the file {name!r}, which leads out of it.", GET_ANOTHER)
    if not path.exists():
        raise BundleError(
            f"There is no bundle at {path}.", "Give the path of a bundle's folder or zip, or `demo`."
        )
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            inside = [m for m in archive.infolist() if m.filename.count("/") <= 1 and _named(m, name)]
            if inside[0].file_size > MOST_FILE_BYTES:  # zipfile inflates no more than is stated here
                raise BundleError(f"{name} in {path} claims {inside[0].file_size:,} bytes.", GET_ANOTHER)
            return archive.read(inside[0])
    except (FileNotFoundError, IndexError) as error:
        raise BundleError(f"{path} has no {name}.", GET_ANOTHER) from error
    except zipfile.BadZipFile as error:
        raise BundleError(f"{path} is neither a folder nor a whole zip: {error}.", GET_ANOTHER) from error


def _named(member: zipfile.ZipInfo, name: str) -> bool:
    return Path(member.filename).name == name


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
