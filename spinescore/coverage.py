"""Do a model's age intervals hold the age as often as they say? And one temperature to mend them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spinescore.core.cohort.splits import assign_split
from spinescore.core.network.recalibration import (
    IntervalCoverage,
    Temperature,
    fit_temperature,
    interval_coverage,
    temper,
)
from spinescore.errors import RecalibrationError
from spinescore.shell.bundles import CORRECTION, MODEL_CARD, Bundle, copy_bundle, refuse_other_folder
from spinescore.shell.warehouse import Warehouse

FIT_FRACTION = 0.5
SCORE_FIRST = "Score them first: spinescore score --model {path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Coverage by kind of image, ``all`` first; one image per subject and kind.

    Parameters
    ----------
    by_kind : mapping of str to list of IntervalCoverage
        Per nominal level.
    n_trained_left_out : int
        Subjects the network was trained on, or stopped by: they take no part.
    n_outside_left_out : int
        Subjects whose age is none of the network's classes.
    """

    by_kind: dict[str, list[IntervalCoverage]]
    n_trained_left_out: int
    n_outside_left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalibration:
    """A new bundle, its temperature, and coverage among the other half of the subjects before and after."""

    bundle: Bundle
    fitted: Temperature
    before: Coverage
    after: Coverage


@dataclass(frozen=True, slots=True)
class _Scored:
    """Distributions (N, K) beside their rows, and who was left out."""

    rows: pl.DataFrame
    distributions: NDArray[np.float32]
    n_trained: int
    n_outside: int

    def among(self, chosen: NDArray[np.bool_]) -> _Scored:
        return _Scored(
            self.rows.filter(pl.Series(chosen)), self.distributions[chosen], self.n_trained, self.n_outside
        )

    @property
    def ages(self) -> NDArray[np.float64]:
        return self.rows["age_years"].to_numpy()


def measure_coverage(warehouse: Warehouse, bundle: Bundle) -> Coverage:
    """Return how often the intervals of a model's stored age distributions hold the age.

    Parameters
    ----------
    warehouse : Warehouse
        Which holds the model's scores.
    bundle : Bundle
        The model; subjects it was trained on are left out.

    Raises
    ------
    RecalibrationError
        If no image of the database that could be used was scored with this model.
    """
    return _coverage(_scored(warehouse, bundle), bundle.first_age, 1.0)


def recalibrate(warehouse: Warehouse, bundle: Bundle, output: Path, *, seed: int = 0) -> Recalibration:
    """Fit a temperature on half of the subjects, write a bundle with it, and measure it on the other half.

    Parameters
    ----------
    warehouse, bundle
        As in :func:`measure_coverage`.
    output : Path
        The new bundle's folder.
    seed : int
        Of the hash that halves the subjects.

    Raises
    ------
    RecalibrationError
        As :func:`measure_coverage`, or if no temperature can be fitted.
    BundleError
        If ``output`` exists and is no bundle.
    """
    refuse_other_folder(output)
    scored = _scored(warehouse, bundle)
    parts = [
        assign_split(subject, "recalibration", seed=seed, reference_fraction=FIT_FRACTION)
        for subject in scored.rows["subject_id"]
    ]
    for_fit = np.array(parts) == "reference"
    ours, others = scored.among(for_fit), scored.among(~for_fit)
    fitted = fit_temperature(ours.distributions, ours.ages, bundle.first_age)
    if not others.rows.height:
        raise RecalibrationError(
            "No subject is left to measure the new temperature on.", "Score more subjects."
        )
    before = _coverage(others, bundle.first_age, 1.0)
    after = _coverage(others, bundle.first_age, fitted.temperature)
    changed = _write(bundle, output, fitted, after, seed)
    return Recalibration(bundle=changed, fitted=fitted, before=before, after=after)


def _scored(warehouse: Warehouse, bundle: Bundle) -> _Scored:
    rows = warehouse.fetch(
        "coverage/distributions", model_id=bundle.model_id, preprocessing_id=bundle.spec.preprocessing_id
    )
    if rows.is_empty():
        raise RecalibrationError(
            f"{warehouse.path} holds no score by `{bundle.name}` {bundle.version} of an image of known age.",
            SCORE_FIRST.format(path=bundle.path),
        )
    ids = rows["image_subject_id"].drop_nulls().to_list()
    known = bundle.trained_on(ids) | bundle.validated_on(ids)
    seen = pl.col("image_subject_id").is_in(list(known)).fill_null(value=False)
    kept = rows.filter(~seen)
    last_age = bundle.first_age + bundle.n_classes
    inside = kept.filter(pl.col("age_years").is_between(bundle.first_age, last_age, closed="left"))
    if inside.is_empty():
        raise RecalibrationError(
            f"Of {rows.height} scored images {rows.height - kept.height} are of subjects the network was "
            "trained on or stopped by, the others of ages it cannot tell.",
            "Score images of other subjects: coverage among those it was trained on says nothing.",
        )
    distributions = np.array(inside["age_distribution"].to_list(), np.float32)
    n_trained = rows.height - kept.height
    return _Scored(inside.drop("age_distribution"), distributions, n_trained, kept.height - inside.height)


def _coverage(scored: _Scored, first_age: int, temperature: float) -> Coverage:
    tempered = temper(scored.distributions, temperature)
    found = {"all": interval_coverage(tempered, scored.ages, first_age)}
    for kind in scored.rows["kind"].unique().sort():
        of_kind = (scored.rows["kind"] == kind).to_numpy()
        found[kind] = interval_coverage(tempered[of_kind], scored.ages[of_kind], first_age)
    return Coverage(by_kind=found, n_trained_left_out=scored.n_trained, n_outside_left_out=scored.n_outside)


def _write(bundle: Bundle, output: Path, fitted: Temperature, after: Coverage, seed: int) -> Bundle:
    """Write the bundle; its correction stays behind, for it was fitted to other ages."""
    temperature = bundle.temperature * fitted.temperature
    of_all = {f"{found.level:g}": found.coverage.value for found in after.by_kind["all"]}
    record = {
        **asdict(fitted),
        "seed": seed,
        "of_model": bundle.model_id,
        "temperature_before": bundle.temperature,
        "coverage_after": of_all,
        "n_evaluated": after.by_kind["all"][0].n,
    }
    card = bundle.read_file(MODEL_CARD).decode() if MODEL_CARD in bundle.manifest["files"] else ""
    card += _describe(bundle, fitted, after, temperature)
    changes: dict[str, Any] = {"temperature": temperature, "recalibration": record}
    return copy_bundle(bundle, output, changes=changes, without=[CORRECTION], model_card=card)


def _describe(bundle: Bundle, fitted: Temperature, after: Coverage, temperature: float) -> str:
    rows = "\n".join(
        f"| {found.level:.0%} | {found.coverage.value:.1%} | {found.n} | {found.mean_width_years:.1f} |"
        for found in after.by_kind["all"]
    )
    return (
        f"\n## Recalibrated\n\nTemperature {temperature:.4f}, fitted on {fitted.n} images of model "
        f"{bundle.model_id}; accuracy above is from before, and ages differ slightly from it. Coverage on "
        f"subjects the fit did not see:\n\n| interval | holds the age | images | mean width, years |\n"
        f"|---|---|---|---|\n{rows}\n"
    )
