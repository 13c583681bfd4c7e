"""What a Cox model converges to with the demonstration model's reading of the latent gap.

    python examples/demo-bundle/measure_truth.py

Takes the phantoms that measure_errors.py has scored, corrects their ages on their own (so that the
correction's sampling error is negligible), fits PAD = a + b age + c gap + noise, and simulates 10^6
follow-ups with a PAD so made. Writes spinescore/data/demo-truth.json. About two minutes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from measure_errors import COHORT_SEED, ERRORS, correlate_given_age

from spinescore.core.correction import Reference, apply_correction, fit_correction
from spinescore.core.phantom.person import GAP_SD_YEARS
from spinescore.core.phantom.truth import fit_pad_model, large_sample_truth
from spinescore.domain import Kind
from spinescore.shell.bundles import demo_bundle_path, load_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
SIMULATION_SEED = 9009
ENDPOINT = "any_fracture"
COVARIATES = ("age", "sex")


def measure(kind: Kind, scored: pl.DataFrame) -> dict[str, Any]:
    """Return accuracy against age, what PAD knows of the gap, and the fitted PAD model."""
    rows = scored.filter((pl.col("kind") == kind) & (pl.col("set") == "cohort"))
    age, gap, raw = (rows[column].to_numpy() for column in ("age", "gap", "spine_age"))
    correction = fit_correction(
        "beheshti",
        Reference(cohort="unseen phantoms", sha256="", kind=kind, ages=age, spine_ages=raw),
        kind=kind,
        model_id=scored["model_id"][0],
        preprocessing_id="",
    )
    pad = apply_correction(correction, age, raw) - age
    model = fit_pad_model(pad, age, gap)
    return {
        "kind": kind,
        "n": rows.height,
        "seed": COHORT_SEED,
        "r": float(np.corrcoef(raw, age)[0, 1]),
        "mae_raw_years": float(np.abs(raw - age).mean()),
        "mae_corrected_years": float(np.abs(pad).mean()),
        "slope_raw": float(np.polyfit(age, raw, 1)[0]),
        "partial_correlation_of_pad_and_gap_given_age": correlate_given_age(rows),
        "mean_predicted_sd_years": float(rows["spine_age_sd"].to_numpy().mean()),
        "pad_model": {
            "intercept": model.intercept,
            "per_year_of_age": model.per_year_of_age,
            "per_year_of_gap": model.per_year_of_gap,
            "residual_sd_years": model.residual_sd_years,
        },
        "model": model,
    }


def main() -> None:
    """Measure both kinds, find the limit for the primary estimate, write it down."""
    bundle = load_bundle(demo_bundle_path())
    scored = pl.read_csv(ERRORS, schema_overrides={"model_id": pl.String})
    if scored["model_id"].unique().to_list() != [bundle.model_id]:
        raise SystemExit(f"error: {ERRORS} is of another model; run measure_errors.py first.")
    radiograph, vfa = measure("radiograph", scored), measure("vfa", scored)
    truth = large_sample_truth(
        radiograph.pop("model"),
        covariates=COVARIATES,
        endpoint=ENDPOINT,
        cohort="derivation",
        seed=SIMULATION_SEED,
    )
    vfa.pop("model")
    written = {
        "made_by": "examples/demo-bundle/measure_truth.py",
        "model_id": bundle.model_id,
        "endpoint": ENDPOINT,
        "covariates": list(COVARIATES),
        "large_sample_hazard_ratio": truth.hazard_ratio,
        "large_sample_se_log": truth.se,
        "simulated_follow_ups": truth.n,
        "pad_sd_years": truth.pad_sd_years,
        "generating_hazard_ratio": truth.generating_hazard_ratio,
        "gap_sd_years": GAP_SD_YEARS,
        "unseen_phantoms": {"radiograph": radiograph, "vfa": vfa},
    }
    text = json.dumps(written, indent=2) + "\n"
    (REPOSITORY / "spinescore" / "data" / "demo-truth.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
