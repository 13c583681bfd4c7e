"""Shifts of raw PAD between manufacturers and between scanners, at fixed age and sex, by kind of image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.statistics.assembly.design import read_levels
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.device_shift import DeviceShift, measure_device_shift
from spinescore.domain import Result

METHOD = "hc3"


def device_rows(setting: Setting) -> Iterator[Result]:
    """Yield each device's shift against the most frequent one and the test of all, kind by kind."""
    subjects = setting.cohort.subjects
    kinds, kind = read_levels(subjects, "kind")
    for trait, devices in _devices(subjects).items():
        names = sorted(devices.drop_nulls().unique().to_list())
        for level in kinds:
            found, present = _measure(setting, devices, names, (kind == level).fill_null(False))
            if found is not None:
                yield from _rows(setting, f"kind={level}", [f"{trait}={names[i]}" for i in present], found)


def _devices(subjects: pl.DataFrame) -> dict[str, pl.Series]:
    """Return what tells devices apart: the manufacturer, and with the model where that is known of some."""
    found = {"manufacturer": subjects["manufacturer"].cast(pl.String)}
    if "manufacturer_model" in subjects.columns and subjects["manufacturer_model"].is_not_null().any():
        named = pl.concat_str("manufacturer", "manufacturer_model", separator=" ")
        found["scanner"] = subjects.select(named.alias("scanner")).to_series()
    return found


def _measure(
    setting: Setting, devices: pl.Series, names: list[str], of_kind: pl.Series
) -> tuple[DeviceShift | None, list[int]]:
    pad = setting.predictors["pad_raw"].values
    age = setting.predictors["chronological_age"].values
    sex = setting.cohort.subjects["sex"].cast(pl.String)
    codes = devices.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    use = (
        of_kind.to_numpy() & np.isfinite(pad) & np.isfinite(age) & (codes >= 0) & sex.is_not_null().to_numpy()
    )
    present, levels = np.unique(codes[use], return_inverse=True)
    male = (sex == "M").fill_null(False).to_numpy().astype(np.float64)
    found = measure_device_shift(pad[use], age[use], male[use], levels.astype(np.int64), setting.conf_level)
    return found, present.tolist()


def _rows(setting: Setting, subgroup: str, terms: list[str], found: DeviceShift) -> Iterator[Result]:
    keys: dict[str, Any] = {
        "cohort": setting.cohort.name,
        "analysis": "device_shift",
        "predictor": "pad_raw",
        "correction": setting.predictors["pad_raw"].correction,
        "subgroup": subgroup,
        "comparator": terms[found.reference],
        "method": METHOD,
    }
    for level, estimate in sorted(found.shifts.items()):
        yield make_row(
            estimate,
            setting.conf_level,
            **keys,
            statistic="shift_years",
            term=terms[level],
            n=found.counts[level],
            note=f"reference n = {found.counts[found.reference]}" if estimate.problem is None else None,
        )
    note = f"denominator df {found.residual_df}" if found.differ.problem is None else None
    trait = terms[found.reference].partition("=")[0]
    yield make_row(found.differ, **keys, statistic="f_statistic", term=trait, n=found.n, note=note)
