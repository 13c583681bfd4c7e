"""The best weights -> a bundle: calibrated on the validation part, measured on the test part."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from spinescore import __version__
from spinescore.core.cohort.splits import hash_rows
from spinescore.core.correction import Reference, apply_correction, fit_correction
from spinescore.core.correction_artefact import write_corrections
from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.accuracy import measure_by_kind, measure_corrected, measure_groups
from spinescore.core.network.age_distribution import expectation, softmax
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.core.network.recalibration import Temperature, fit_temperature, interval_coverage, temper
from spinescore.core.network.training_plan import list_epochs
from spinescore.domain import Correction, CorrectionMethod
from spinescore.errors import CorrectionError, RecalibrationError, TrainingError
from spinescore.shell.bundles import (
    Bundle,
    BundleDescription,
    add_correction,
    fingerprint_subject,
    write_bundle,
)
from spinescore.shell.training.batches import Batches, PartImages, scale_images
from spinescore.shell.training.fitting import is_on_gpu
from spinescore.shell.training.lightning_module import EVALUATION_BATCH
from spinescore.shell.training.position import BEST, Position
from spinescore.shell.training.request import TrainingRequest

METHOD: CorrectionMethod = "beheshti"
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the validation part teaches about the ages a network gives; no subject of the test part is in it.

    Parameters
    ----------
    temperature : Temperature or None
        None where it cannot be fitted; ``notes`` says why.
    corrections : tuple of Correction
        Per kind that has subjects enough.
    accuracy : dict
        Raw, on the validation part itself.
    notes : tuple of str
        What could not be fitted.
    """

    temperature: Temperature | None
    corrections: tuple[Correction, ...]
    accuracy: dict[str, dict[str, float]]
    notes: tuple[str, ...]

    @property
    def softening(self) -> float:
        """The temperature that is applied."""
        return 1.0 if self.temperature is None else self.temperature.temperature

    def correct(self, table: pl.DataFrame, spine_ages: Array) -> Array:
        """Return corrected ages, years; NaN for images of a kind without a correction."""
        corrected = np.full(table.height, np.nan)
        ages = table["age_years"].to_numpy()
        for correction in self.corrections:
            own = (table["kind"] == correction.kind).to_numpy()
            corrected[own] = apply_correction(correction, ages[own], spine_ages[own])
        return corrected


def write_trained_bundle(
    request: TrainingRequest, parts: dict[str, pl.DataFrame], position: Position
) -> Bundle:
    """Write the bundle of the best epoch; the test part is looked at here for the first time.

    Raises
    ------
    TrainingError
        If no epoch has been finished.
    """
    if position.best_epoch is None:
        raise TrainingError(
            "No epoch has been finished, so there are no weights to keep.", "Train at least one epoch."
        )
    weights = load_file(request.work / BEST)
    shrink = int(position.best[0])
    spec = _shown(request.cache.spec).shrunk(shrink)
    predict = _Predictor(request, weights, shrink)
    first_age = request.description.first_age
    validation = predict(parts["validation"])
    calibration = calibrate_network(
        parts["validation"], validation, request.description, "", spec.preprocessing_id
    )
    metrics = _measure_test(parts["test"], predict(parts["test"]), calibration, first_age)
    description = _describe(request, parts, position, calibration, metrics)
    bundle = write_bundle(
        request.output,
        description,
        spec,
        {name: tensor.numpy() for name, tensor in weights.items()},
        training_subjects=parts["train"]["image_subject_id"].unique(),
        validation_subjects=parts["validation"]["image_subject_id"].unique(),
        initial=request.initial,
        model_card=request.model_card(description),
    )
    fitted = calibrate_network(
        parts["validation"], validation, request.description, bundle.model_id, spec.preprocessing_id
    )
    return add_correction(bundle, write_corrections(fitted.corrections)) if fitted.corrections else bundle


def _shown(kept: PreprocessingSpec) -> PreprocessingSpec:
    """Return the spec of what training showed: 8-bit pixels, unless they were means before they were kept."""
    return replace(kept, eight_bit=True) if kept.block_mean == 1 else kept


def calibrate_network(
    validation: pl.DataFrame,
    distribution: NDArray[np.float32],
    description: BundleDescription,
    model_id: str,
    preprocessing_id: str,
) -> Calibration:
    """Fit temperature and corrections on the validation part.

    Parameters
    ----------
    validation : polars.DataFrame
        Its images.
    distribution : ndarray, shape (N, K)
        What the network makes of them, at temperature 1.
    description : BundleDescription
        The network's first age, and whether its images are made up.
    model_id, preprocessing_id : str
        Of the network.
    """
    notes: list[str] = []
    first_age = description.first_age
    try:
        temperature = fit_temperature(distribution, validation["age_years"].to_numpy(), first_age)
    except RecalibrationError as error:
        temperature = None
        notes.append(f"No temperature: {error.message}")
    softened = temper(distribution, 1.0 if temperature is None else temperature.temperature)
    spine_ages = expectation(softened, first_age)
    corrections = []
    for kind in sorted(validation["kind"].unique()):
        try:
            reference = _refer(validation, spine_ages, kind, synthetic=description.synthetic)
            corrections.append(
                fit_correction(
                    METHOD,
                    reference,
                    kind=kind,
                    model_id=model_id,
                    preprocessing_id=preprocessing_id,
                    fitted_on=datetime.now(UTC).date().isoformat(),
                    made_by=f"spinescore {__version__}",
                )
            )
        except CorrectionError as error:
            notes.append(f"No correction for {kind}: {error.message}")
    return Calibration(temperature, tuple(corrections), measure_by_kind(validation, spine_ages), tuple(notes))


def _refer(validation: pl.DataFrame, spine_ages: Array, kind: str, *, synthetic: bool) -> Reference:
    """Return whom the correction of a kind is fitted on: one image, the first, of each subject."""
    rows = (
        validation.with_columns(pl.Series("spine_age_raw", spine_ages))
        .filter(pl.col("kind") == kind)
        .unique("subject_id", keep="first", maintain_order=True)
        .sort("subject_id")
    )
    ids = pl.concat([rows["subject_id"], rows["image_subject_id"]]).unique().sort()
    return Reference(
        cohort="validation part",
        sha256=hash_rows([rows["subject_id"], rows["age_years"], rows["spine_age_raw"]]),
        kind=kind,  # type: ignore[arg-type]
        ages=rows["age_years"].to_numpy(),
        spine_ages=rows["spine_age_raw"].to_numpy(),
        manufacturers=rows["manufacturer"].to_list(),
        subjects=[fingerprint_subject(one) for one in ids],
        synthetic=synthetic,
    )


def _measure_test(
    test: pl.DataFrame, distribution: NDArray[np.float32], calibration: Calibration, first_age: int
) -> dict[str, Any]:
    """Return what the manifest says of the test part: raw first, corrected beside it."""
    softened = temper(distribution, calibration.softening)
    raw = expectation(softened, first_age)
    corrected = calibration.correct(test, raw)
    ages = test["age_years"].to_numpy()
    kinds = {"all": np.full(test.height, fill_value=True)} | {
        kind: (test["kind"] == kind).to_numpy() for kind in sorted(test["kind"].unique())
    }
    return {
        "test": measure_by_kind(test, raw),
        "test_corrected": {kind: measure_corrected(ages[own], corrected[own]) for kind, own in kinds.items()},
        "test_groups": measure_groups(test, raw, corrected),
        "coverage": {
            kind: [
                {
                    "level": found.level,
                    "n": found.n,
                    "covered": found.coverage.value,
                    "lower": found.coverage.lower,
                    "upper": found.coverage.upper,
                    "mean_width_years": found.mean_width_years,
                }
                for found in interval_coverage(softened[own], ages[own], first_age)
            ]
            for kind, own in kinds.items()
        },
    }


def _describe(
    request: TrainingRequest,
    parts: dict[str, pl.DataFrame],
    position: Position,
    calibration: Calibration,
    measured: dict[str, Any],
) -> BundleDescription:
    trained = parts["train"]["age_years"]
    counts = {
        name: {"images": part.height, "subjects": part["subject_id"].n_unique()}
        for name, part in parts.items()
    }
    temperature = calibration.temperature
    return replace(
        request.description,
        metrics={
            **measured,
            "validation": calibration.accuracy,
            "parts": counts,
            "epochs": {
                "best": position.best_epoch,
                "trained": position.epoch,
                "planned": len(list_epochs(request.stages)),
            },
            "notes": list(calibration.notes),
        },
        age_range=(float(trained.min()), float(trained.max())),  # type: ignore[arg-type]
        temperature=None if temperature is None else temperature.temperature,
        recalibration=None
        if temperature is None
        else {**asdict(temperature), "fitted_on": "validation part"},
    )


class _Predictor:
    """The finished network, in float32, on the device that trained it."""

    def __init__(self, request: TrainingRequest, weights: dict[str, torch.Tensor], shrink: int) -> None:
        self.device = torch.device("cuda" if is_on_gpu(request.hardware) else "cpu")
        network = SpineAgeNetwork(request.description.backbone, request.description.n_classes)
        network.load_state_dict(weights)
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.cache, self.shrink = request.cache, shrink

    @torch.no_grad()
    def __call__(self, part: pl.DataFrame) -> NDArray[np.float32]:
        """Return the age distributions (N, K) of a part's images."""
        rows = np.arange(part.height)
        chunks = [rows[at : at + EVALUATION_BATCH] for at in range(0, rows.size, EVALUATION_BATCH)]
        batches = Batches(PartImages.of(self.cache, part), chunks)
        logits = []
        for number in range(len(batches)):
            images = scale_images(batches[number].images.to(self.device), self.shrink)
            logits.append(self.network(images.contiguous(memory_format=torch.channels_last)).cpu())
        return softmax(torch.cat(logits).numpy())
