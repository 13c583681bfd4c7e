"""Is a bundle whole, and does this machine score a known image as the machine did that stored its age?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from spinescore.core.diagnosis.finding import Finding, judge
from spinescore.errors import SpineScoreError
from spinescore.shell.bundles import Bundle, demo_bundle_path, find_bundle, load_bundle
from spinescore.shell.resources import resource
from spinescore.shell.workers import WorkerFailure, map_supervised

AREA = "model"
TIMEOUT_S = 300.0  # the first time, the network is compiled


def look_at_bundle(name: str) -> Iterator[Finding]:
    """Hold every file of a bundle against its hash."""
    try:
        bundle = find_bundle(name)
    except SpineScoreError as error:
        yield judge(AREA, "bundle", error.message, fail=error.next_step)
        return
    use = ", for demonstration only: it refuses images of people" if bundle.demonstration else ""
    n_files = len(bundle.manifest["files"])
    found = f"{bundle.name} {bundle.version} ({bundle.model_id}), {n_files} files as hashed{use}"
    yield judge(AREA, "bundle", found)


def look_at_golden_image() -> Iterator[Finding]:
    """Render a phantom from its seed, score it with the demonstration bundle, compare with its stored age."""
    golden = json.loads(resource("data", "golden-image.json").read_text(encoding="utf-8"))
    for _, outcome in map_supervised(score_golden, [golden], workers=1, timeout_s=TIMEOUT_S):
        yield judge_golden(golden, outcome)


def score_golden(golden: dict[str, Any]) -> tuple[str, float, str]:
    """Return the demonstration model's id, the spine age (years) it gives the image, and what ran it."""
    from spinescore.core.imaging.preprocessing import preprocess
    from spinescore.core.network.age_distribution import expectation
    from spinescore.core.phantom.person import draw_people
    from spinescore.core.phantom.radiograph import render
    from spinescore.shell.backends import open_backend

    bundle: Bundle = load_bundle(demo_bundle_path())
    (person,) = draw_people(1, seed=golden["seed"], cohort="derivation")
    rendered = render(person, kind="radiograph", seed=golden["seed"])
    image = preprocess(rendered.pixels, kind="radiograph", photometric=rendered.photometric, spec=bundle.spec)
    backend = open_backend(bundle)
    spine_ages = expectation(backend.predict(np.stack([image])[:, None]), bundle.first_age)
    return bundle.model_id, float(spine_ages[0]), backend.description


def judge_golden(golden: dict[str, Any], outcome: tuple[str, float, str] | WorkerFailure) -> Finding:
    """Hold the age that was found against the stored one."""
    name = "golden image"
    if isinstance(outcome, WorkerFailure):
        return judge(
            AREA,
            name,
            f"{outcome.reason}: {outcome.detail}",
            fail="Nothing can be scored here: see the lines above.",
        )
    model_id, spine_age, how = outcome
    if model_id != golden["model_id"]:
        return judge(
            AREA, name, f"scored by {model_id}", fail="Install spinescore again: its model was changed."
        )
    off = spine_age - golden["spine_age"]
    found = f"spine age {spine_age:.4f}, stored {golden['spine_age']:.4f} years ({off:+.1e}); {how}"
    tolerance = golden["tolerance_years"]
    wrong = (
        f"More than {tolerance} years off: scores of this machine are not those of others; do not use them."
    )
    return judge(AREA, name, found, fail="" if abs(off) <= tolerance else wrong)
