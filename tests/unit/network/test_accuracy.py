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
    corrected = np.array([50.0, 61, 72, np.nan])
    rows = {(r["kind"], r["by"], r["group"]): r for r in measure_groups(TABLE, RAW, corrected)}
    for kind in ("all", "radiograph"):
        of_kind = 4 if kind == "all" else 3
        for by in ("sex", "age", "manufacturer"):
            assert sum(r["n"] for (k, b, _), r in rows.items() if (k, b) == (kind, by)) == of_kind
    women = rows["all", "sex", "F"]
    assert (women["n"], women["mae_years"]) == (2, 2.0)
    assert women["corrected"] == {"n": 2, "mae_years": 0.5, "bias_years": 0.5}
    assert rows["vfa", "sex", "not known"]["corrected"] is None
    assert rows["all", "age", "50 to 59"]["n"] == 1
    assert rows["all", "age", "80 to 89"]["bias_years"] == pytest.approx(-10)
