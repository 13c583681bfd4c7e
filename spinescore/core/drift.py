"""Recent images against the reference set: what is compared, and what is beyond its threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from spinescore.core.statistics.drift import (
    AgeLine,
    fit_age_line,
    mean_shift,
    measure_agreement,
    population_stability_index,
)
from spinescore.study.drift_section import DriftSection

Measure = Literal[
    "psi", "shift_years", "failed_share", "new_manufacturer", "new_device", "new_protocol", "change_years"
]
NEW_TRAITS: tuple[tuple[Measure, str], ...] = (
    ("new_manufacturer", "manufacturer"),
    ("new_device", "manufacturer_model"),
    ("new_protocol", "protocol_name"),
)
ALARMING = ("new_manufacturer", "new_device")  # protocols are renamed too often
RARER = "rarer ones"
NO_REFERENCE = "no_reference"
TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """One comparison; a row of ``drift``.

    Parameters
    ----------
    measure, kind, group
        What is compared, of which kind of image, of which maker or device (None: all).
    against : str or None
        ``manufacturer`` (its own images in the reference), ``kind`` (all of the reference), a model.
    value, lower, upper : float or None
        The index; the shift in years and its 95% interval; a share; images; the mean change and its limits of
        agreement. Of an index ``upper`` is what it may be by chance.
    sd : float or None
        Of the changes, years.
    threshold : float or None
    n, n_reference : int
        Images compared, and subjects of the reference.
    beyond : bool
    note : str or None
        Why there is no value: ``no_reference`` or ``too_few``.
    """

    measure: Measure
    kind: str
    group: str | None = None
    against: str | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    sd: float | None = None
    threshold: float | None = None
    n: int = 0
    n_reference: int = 0
    beyond: bool = False
    note: str | None = None


def compare_kind(
    kind: str, reference: pl.DataFrame, others: pl.DataFrame, settings: DriftSection
) -> list[DriftRow]:
    """Compare the images of a kind that came last with its reference set.

    Parameters
    ----------
    kind : str
    reference : polars.DataFrame
        One row per subject: ``age_years, pad_raw, manufacturer, manufacturer_model, protocol_name``.
    others : polars.DataFrame
        Images of subjects who are not of the reference, those that came last last: the same columns and
        ``subject_id``. Of each subject the last one counts.
    settings : DriftSection
    """
    latest = others.unique("subject_id", keep="last", maintain_order=True)
    if reference.is_empty():
        return [DriftRow(measure="psi", kind=kind, n=latest.height, note=NO_REFERENCE)]
    line = fit_age_line(reference["pad_raw"].to_numpy(), reference["age_years"].to_numpy())
    rows = list(_compare_ages(kind, None, reference, reference, latest, line, settings))
    makers = latest["manufacturer"].drop_nulls().unique().sort().to_list()
    for maker in makers if len(makers) > 1 else ():
        own = [rows_.filter(pl.col("manufacturer") == maker) for rows_ in (reference, latest)]
        if own[1].height >= settings.min_images:
            rows += _compare_ages(kind, maker, reference, own[0], own[1], line, settings)
    return [*rows, *_find_new(kind, reference, latest.tail(settings.recent), settings)]


def _compare_ages(
    kind: str,
    maker: str | None,
    whole: pl.DataFrame,
    own: pl.DataFrame,
    latest: pl.DataFrame,
    line: AgeLine | None,
    settings: DriftSection,
) -> Iterator[DriftRow]:
    """Yield the index and the shift of one maker, against its own reference where that is large enough."""
    enough = own.height >= settings.min_images
    reference, against = (own, "manufacturer" if maker else "kind") if enough else (whole, "kind")
    recent = latest.tail(settings.recent)
    n, m = recent.height, reference.height
    if line is None or min(n, m) < settings.min_images:
        yield DriftRow(
            measure="psi", kind=kind, group=maker, against=against, n=n, n_reference=m, note=TOO_FEW
        )
        return
    before, now = (
        line.residuals(rows["pad_raw"].to_numpy(), rows["age_years"].to_numpy())
        for rows in (reference, recent)
    )
    index, shift = population_stability_index(before, now), mean_shift(before, now)
    if index is None:
        return
    yield DriftRow(
        measure="psi",
        kind=kind,
        group=maker,
        against=against,
        value=index.value,
        upper=index.by_chance,
        threshold=settings.max_psi,
        n=n,
        n_reference=m,
        beyond=index.value > max(settings.max_psi, index.by_chance),
    )
    yield DriftRow(
        measure="shift_years",
        kind=kind,
        group=maker,
        against=against,
        value=shift.value,
        lower=shift.lower,
        upper=shift.upper,
        n=n,
        n_reference=m,
    )


def _find_new(
    kind: str, reference: pl.DataFrame, recent: pl.DataFrame, settings: DriftSection
) -> Iterator[DriftRow]:
    """Yield what recent images have and the reference has not; what only a few have is counted together."""
    for measure, trait in NEW_TRAITS:
        known = reference[trait].drop_nulls().unique().implode()
        new = recent.filter(pl.col(trait).is_not_null() & ~pl.col(trait).is_in(known))
        counts = new.group_by(trait).len().sort(trait).rows()
        frequent = [(name, n) for name, n in counts if n >= settings.new_device_images]
        rare = sum(n for _, n in counts) - sum(n for _, n in frequent)
        for name, n in [*frequent, *([(RARER, rare)] if rare else [])]:
            alarming = measure in ALARMING and name != RARER
            yield DriftRow(
                measure=measure,
                kind=kind,
                group=name,
                value=float(n),
                threshold=float(settings.new_device_images) if alarming else None,
                n=recent.height,
                n_reference=reference.height,
                beyond=alarming,
            )


def count_failures(kind: str, failed: Sequence[bool], settings: DriftSection) -> DriftRow:
    """Return the share of images tried last that could not be scored; ``failed`` in the order of trying."""
    recent = failed[-settings.recent :]
    n = len(recent)
    if n < settings.min_images:
        return DriftRow(measure="failed_share", kind=kind, n=n, note=TOO_FEW)
    share = sum(recent) / n
    limit = settings.max_failed_share
    return DriftRow(
        measure="failed_share", kind=kind, value=share, threshold=limit, n=n, beyond=share > limit
    )


def compare_scores(
    kind: str, old_model: str, ages: pl.DataFrame, settings: DriftSection, *, told_before: bool
) -> DriftRow | None:
    """Return how a changed model or preprocessing moved the ages of a kind; None where no image has both.

    ``ages`` has ``age_before`` and ``age_now``, years. What an earlier run has told is not drift again.
    """
    found = measure_agreement(ages["age_before"].to_numpy(), ages["age_now"].to_numpy())
    if found is None:
        return None
    return DriftRow(
        measure="change_years",
        kind=kind,
        against=old_model,
        value=found.mean,
        lower=found.lower,
        upper=found.upper,
        sd=found.sd,
        threshold=settings.max_change_years,
        n=found.n,
        beyond=abs(found.mean) > settings.max_change_years and not told_before,
    )
