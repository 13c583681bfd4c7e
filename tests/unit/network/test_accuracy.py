"""Errors are measured on ages as they are, over all images, by kind and by group."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from spinescore.core.network.accuracy import measure_by_kind, measure_groups

TABLE = pl.DataFrame(
    {
        "age_years": [50.0, 60, 70, 80],
        "kind": ["radiograph"] * 3 + ["vfa"],
        "sex": ["F", "F", "M", None],
        "manufacturer": ["Acme"] * 4,
    }
)
RAW = np.array([52.0, 62, 72, 70])


def test_accuracy_is_measured_on_raw_ages_by_kind() -> None:
    measured = measure_by_kind(TABLE, RAW)
    assert measured["radiograph"] == {"n": 3, "mae_years": 2.0, "bias_years": 2.0, "r": 1.0, "slope": 1.0}
    assert measured["all"]["mae_years"] == 4.0
    assert measured["vfa"] == {"n": 1, "mae_years": 10.0, "bias_years": -10.0}


def test_every_group_counts_its_own_images_and_shows_corrected_errors_beside_raw_ones() -> None:
    table = pl.concat([TABLE] * 5)
    raw, corrected = np.tile(RAW, 5), np.tile(np.array([50.0, 61, 72, np.nan]), 5)
    rows = {(r["kind"], r["by"], r["group"]): r for r in measure_groups(table, raw, corrected)}
    for kind in ("all", "radiograph"):
        of_kind = 20 if kind == "all" else 15
        for by in ("sex", "age", "manufacturer"):
            assert sum(r["n"] for (k, b, _), r in rows.items() if (k, b) == (kind, by)) == of_kind
    women = rows["all", "sex", "F"]
    assert (women["n"], women["mae_years"]) == (10, 2.0)
    assert women["corrected"] == {"n": 10, "mae_years": 0.5, "bias_years": 0.5, "r": 1.0, "slope": 1.1}
    assert rows["vfa", "sex", "not known"]["corrected"] is None
    assert rows["all", "age", "50 to 59"]["n"] == 5
    assert rows["all", "age", "80 to 89"]["bias_years"] == pytest.approx(-10)


def test_of_a_group_of_few_images_only_the_number_is_said() -> None:
    assert {frozenset(row) for row in measure_groups(TABLE, RAW, RAW)} == {
        frozenset({"kind", "by", "group", "n", "corrected"})
    }
