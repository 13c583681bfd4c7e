"""The parts of an analysis that can be kept: a cohort's endpoint, and what its numbers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from spinescore.domain import Cohort
from spinescore.study import Study

Unit = tuple[str, str]  # cohort and endpoint


def fingerprint_units(
    cohorts: Sequence[Cohort],
    study: Study,
    *,
    primary: str,
    correction_method: str,
    correction_flags: Mapping[str, tuple[str, ...]],
    version: str,
) -> dict[Unit, str]:
    """Return the SHA-256 of everything the numbers of each cohort's endpoint depend on.

    These are its subjects, follow-up and flags, those of the primary cohort (its models are applied to the
    others), the settings that reach it (titles, families and what concerns images alone do not), and the
    versions of this software and of polars, whose row hashes are stable within one version.

    Parameters
    ----------
    cohorts : sequence of Cohort
    study : Study
    primary : str
        The cohort whose models are applied to the others.
    correction_method : str
    correction_flags : mapping of cohort name to flag codes
    version : str
        Of this software.
    """
    names = [*study.binary_endpoints(), *study.survival_endpoints()]
    data = {
        (cohort.name, endpoint): _hash_data(cohort, endpoint, correction_flags.get(cohort.name, ()))
        for cohort in cohorts
        for endpoint in names
    }
    common = [version, pl.__version__, correction_method, primary]
    return {
        (cohort, endpoint): _digest(
            [*common, _settings(study, endpoint), cohort, own, data.get((primary, endpoint), "")]
        )
        for (cohort, endpoint), own in data.items()
    }


def _settings(study: Study, endpoint: str) -> str:
    section = study.endpoints[endpoint]
    involved = {name: study.endpoints[name] for name in (endpoint, section.competing) if name}
    parts: dict[str, Any] = {
        "endpoints": {
            name: part.model_dump(mode="json", exclude={"title"}) for name, part in involved.items()
        },
        "covariates": {
            name: part.model_dump(mode="json", exclude={"title"}) for name, part in study.covariates.items()
        },
        "models": {name: list(terms) for name, terms in study.models.items()},
        "order": list(study.models),
        "analysis": study.analysis.model_dump(mode="json", exclude={"families", "repeat_min_years"}),
    }
    return json.dumps(parts, sort_keys=True)


def _hash_data(cohort: Cohort, endpoint: str, flags: tuple[str, ...]) -> str:
    frames = [cohort.subjects]
    if endpoint in cohort.follow_up:
        frames.append(cohort.follow_up[endpoint])
    return _digest([cohort.name, *flags, *(_hash_frame(frame) for frame in frames)])


def _hash_frame(frame: pl.DataFrame) -> str:
    rows: bytes = np.ascontiguousarray(frame.hash_rows(1).to_numpy()).tobytes() if frame.width else b""
    return _digest(
        [json.dumps([frame.columns, [str(t) for t in frame.dtypes]]), hashlib.sha256(rows).hexdigest()]
    )


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
