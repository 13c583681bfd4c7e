"""Measure how the demo network reads the latent gap, and what a Cox model then converges to.

    python examples/demo-bundle/measure_truth.py

Renders phantoms of a seed that neither training nor the demo uses, scores them with the shipped bundle,
corrects the ages on their own (so that the correction's sampling error is negligible), fits
PAD = a + b age + c gap + noise, and simulates 10^6 follow-ups with a PAD so made.
Writes spinescore/data/demo-truth.json and prints the network's accuracy on those unseen phantoms.
About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from unseen_phantoms import score

from spinescore.core.correction import Reference, apply_correction, fit_correction
from spinescore.core.phantom.person import GAP_SD_YEARS, CohortName, draw_people
from spinescore.core.phantom.truth import fit_pad_model, large_sample_truth
from spinescore.domain import Kind
from spinescore.shell.bundles import Bundle, demo_bundle_path, load_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
UNSEEN_SEED = 9009
ENDPOINT = "any_fracture"
COVARIATES = ("age", "sex")


def measure(kind: Kind, cohort: CohortName, n: int, bundle: Bundle) -> dict[str, Any]:
    """Return accuracy against age, what PAD knows of the gap, and the fitted PAD model."""
    scored = score(draw_people(n, seed=UNSEEN_SEED, cohort=cohort), kind, UNSEEN_SEED, bundle)
    age, gap, raw = (scored[column].to_numpy() for column in ("age", "gap", "spine_age"))
    correction = fit_correction(
        "beheshti",
        Reference(cohort="unseen phantoms", sha256="", kind=kind, ages=age, spine_ages=raw),
        kind=kind,
        model_id=bundle.model_id,
        preprocessing_id=bundle.spec.preprocessing_id,
    )
    pad = apply_correction(correction, age, raw) - age
    design = np.column_stack([np.ones_like(age), age])
    given_age = [y - design @ np.linalg.lstsq(design, y, rcond=None)[0] for y in (raw - age, gap)]
    model = fit_pad_model(pad, age, gap)
    return {
        "kind": kind,
        "n": n,
        "seed": UNSEEN_SEED,
        "r": float(np.corrcoef(raw, age)[0, 1]),
        "mae_raw_years": float(np.abs(raw - age).mean()),
        "mae_corrected_years": float(np.abs(pad).mean()),
        "slope_raw": float(np.polyfit(age, raw, 1)[0]),
        "partial_correlation_of_pad_and_gap_given_age": float(np.corrcoef(*given_age)[0, 1]),
        "mean_predicted_sd_years": float(scored["spine_age_sd"].to_numpy().mean()),
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=1500)
    arguments = parser.parse_args()
    bundle = load_bundle(demo_bundle_path())
    radiograph = measure("radiograph", "derivation", arguments.subjects, bundle)
    vfa = measure("vfa", "vfa", arguments.subjects, bundle)
    truth = large_sample_truth(
        radiograph.pop("model"),
        covariates=COVARIATES,
        endpoint=ENDPOINT,
        cohort="derivation",
        seed=UNSEEN_SEED,
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
