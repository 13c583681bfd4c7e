"""Pictures for the cards of extreme images, drawn aside and read back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from spinescore.errors import AnalysisError
from spinescore.shell.bundles import find_bundle
from spinescore.shell.overlays import draw_saliency
from spinescore.shell.warehouse import Warehouse


def draw_image_cards(
    warehouse: Warehouse, bundle_name: str, extremes: int
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the cards of so many images at each end of each kind, and what could not be drawn in words.

    Returns
    -------
    cards, warnings
        Cards hold ``picture`` (PNG bytes), ``name, kind, age_years, spine_age, gap_at_age_years``.
    """
    with tempfile.TemporaryDirectory(prefix="spinescore-cards-") as folder:
        try:
            overlays, failures = draw_saliency(
                warehouse, find_bundle(bundle_name), Path(folder), extremes=extremes
            )
        except AnalysisError:
            return [], (
                "No image can be shown: fewer than three of a kind are of known age, or all carry text.",
            )
        cards = [
            {
                "picture": overlay.path.read_bytes(),
                "name": overlay.name,
                "kind": overlay.kind,
                "age_years": overlay.age_years,
                "spine_age": overlay.spine_age,
                "gap_at_age_years": overlay.gap_at_age_years,
            }
            for overlay in overlays
        ]
    reasons = ", ".join(sorted({reason for _, reason in failures}))
    warnings = (f"{len(failures)} of the extreme images could not be drawn ({reasons}).",) if failures else ()
    return cards, warnings
