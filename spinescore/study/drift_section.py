"""[drift]: what is compared with the reference set at each run, and from where on it is drift."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spinescore.study.sections import Count, Positive, Section, Share


class DriftSection(Section):
    """[drift]: thresholds beyond which a run ends with status 4; nothing here changes a number."""

    max_psi: Positive = Field(
        default=0.25, description="Highest population stability index of raw PAD at fixed age."
    )
    max_failed_share: Share = Field(
        default=0.05, description="Highest share of the images tried last that could not be scored."
    )
    max_change_years: Positive = Field(
        default=0.5, description="Furthest that another model or preprocessing may move ages on average."
    )
    new_device_images: Count = Field(
        default=5, description="So many images of a maker or device that the reference set has none of."
    )
    recent: Count = Field(default=200, description="How many of those that came last are compared.")
    min_images: Annotated[int, Field(ge=20)] = Field(
        default=50, description="Fewer, or fewer in the reference set, are not compared."
    )
