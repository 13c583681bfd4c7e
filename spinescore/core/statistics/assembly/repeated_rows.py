"""Repeated images: measurement error from images of one day, change per year from images of several.

Kinds of image are never mixed: every row, curve and table row is of one kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.change_per_year import (
    Followed,
    Slopes,
    average_change,
    describe_change,
    detect_per_year,
    error_distribution,
    fit_slopes,
    share_beyond_error,
    spread_from_error,
    spread_of_change,
)
from spinescore.core.statistics.estimate import Estimate, IntArray
from spinescore.core.statistics.random_slopes import fit_random_slopes
from spinescore.core.statistics.repeated_images import (
    Days,
    average_days,
    compare_in_order,
    detect_change,
    estimate_icc,
    estimate_within_subject_sd,
    pair_up,
    repeated_days,
)
from spinescore.domain import CurvePoint, Result

FEWEST_SUBJECTS = 5
PREDICTORS = ("pad_raw", "pad_corrected", "spine_age_raw")
ORDER = ("subject_id", "study_date", "study_time", "sop_instance_uid")
DRAWN_SHARE = 0.95
DRAWN_BINS = 40
CHANGES = {
    "cohort": pl.String,
    "subject_id": pl.String,
    "kind": pl.String,
    "n_days": pl.Int64,
    "first_date": pl.Date,
    "span_years": pl.Float64,
    "pad_raw_per_year": pl.Float64,
    "pad_corrected_per_year": pl.Float64,
}
REPEATS = {
    "cohort": pl.String,
    "subject_id": pl.String,
    "kind": pl.String,
    "study_date": pl.Date,
    "n_images": pl.Int64,
    "spine_age_mean": pl.Float64,
    "spine_age_difference": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Series:
    """A predictor over the images of one kind: its daily means and the subjects' lines."""

    days: Days
    followed: Followed
    pairs: tuple[IntArray, IntArray]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The distinct, dated images of one kind in order, and what each predictor makes of them."""

    kind: str
    images: pl.DataFrame
    series: Mapping[str, Series]
    n_undated: int
    n_identical: int | None


def read_repeats(setting: Setting) -> tuple[Repeated, ...]:
    """Put the cohort's images in order, kind by kind; undated ones and copies are left out and counted.

    A copy is an image whose pixels, as the network took them (``pixel_sha256``), are those of an earlier
    image of the same subject: it would pass for a repeat without error. Where no hash is known (ages computed
    elsewhere) no copy is recognised and ``n_identical`` is None.
    """
    images = setting.cohort.images
    if images.is_empty():
        return ()
    used = [name for name in images.columns if name in (*ORDER, *PREDICTORS, "kind", "pixel_sha256")]
    known = pl.col("subject_id").is_not_null() & pl.col("spine_age_raw").is_finite()
    images = images.select(used).filter(known)
    kinds = sorted(images["kind"].unique().to_list())
    return tuple(_read_kind(setting, kind, images.filter(pl.col("kind") == kind)) for kind in kinds)


def _read_kind(setting: Setting, kind: str, images: pl.DataFrame) -> Repeated:
    dated = images.drop_nulls("study_date").sort(ORDER, nulls_last=True)
    distinct = _drop_copies(dated)
    subject = distinct["subject_id"].rle_id().to_numpy().astype(np.int64)
    day = distinct["study_date"].to_physical().to_numpy().astype(np.int64)
    least_years = setting.study.analysis.repeat_min_years
    series = {}
    for name in PREDICTORS:
        if name not in setting.predictors:
            continue
        value = distinct[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        days = average_days(subject, day, value)
        series[name] = Series(days, fit_slopes(days, least_years), pair_up(subject, day, value))
    n_identical = dated.height - distinct.height if _pixels_known(images) else None
    return Repeated(kind, distinct, series, images.height - dated.height, n_identical)


def _pixels_known(images: pl.DataFrame) -> bool:
    return "pixel_sha256" in images.columns and images["pixel_sha256"].null_count() < images.height


def _drop_copies(images: pl.DataFrame) -> pl.DataFrame:
    if not _pixels_known(images):
        return images
    first = pl.struct("subject_id", "pixel_sha256").is_first_distinct()
    return images.filter(pl.col("pixel_sha256").is_null() | first)


def repeated_rows(setting: Setting, repeated: tuple[Repeated, ...]) -> Iterator[Result]:
    """Yield the counts of every kind; the estimates where some subject has repeats or several days."""
    for one in repeated:
        yield from _count_rows(setting, one)
        raw = one.series["pad_raw"]
        if len(repeated_days(raw.days).day) or len(np.unique(raw.days.subject)) < len(raw.days.subject):
            for name in one.series:
                yield from _predictor_rows(setting, one, name)


def _row(setting: Setting, kind: str, statistic: str, estimate: Estimate, **fields: Any) -> Result:
    keys = {"cohort": setting.cohort.name, "analysis": "repeated_images", "subgroup": f"kind={kind}"}
    return make_row(estimate, setting.conf_level, statistic=statistic, **keys, **fields)


def _count_rows(setting: Setting, one: Repeated) -> Iterator[Result]:
    days, followed = one.series["pad_raw"].days, one.series["pad_raw"].followed
    repeats = repeated_days(days)
    counts = {
        "n_images": one.images.height,
        "n_undated_images": one.n_undated,
        "n_identical_images": one.n_identical,
        "n_subjects": len(np.unique(days.subject)),
        "n_repeated_subjects": len(np.unique(repeats.subject)),
        "n_repeated_days": len(repeats.day),
        "n_one_day": followed.n_one_day,
        "n_span_too_short": followed.n_span_too_short,
        "n_followed": len(followed.slopes.change),
    }
    for statistic, n in counts.items():
        estimate = Estimate(problem="pixels not known") if n is None else Estimate(value=float(n))
        yield _row(setting, one.kind, statistic, estimate, n=n)
    spans = followed.slopes.span_years
    median = Estimate(value=float(np.median(spans))) if len(spans) else Estimate(problem="no subjects")
    yield _row(setting, one.kind, "median_span_years", median, n=len(spans))


def _predictor_rows(setting: Setting, one: Repeated, name: str) -> Iterator[Result]:
    predictor = setting.predictors[name]
    fields: dict[str, Any] = {"predictor": name, "correction": predictor.correction, "flags": predictor.flags}
    series = one.series[name]
    within = _within_subject_sd(series.days, setting.conf_level)
    yield from _error_rows(setting, one, series, within, fields)
    yield from _change_rows(setting, one.kind, series.followed.slopes, within, fields)


def _within_subject_sd(days: Days, conf_level: float) -> Estimate:
    problem = _judge_subjects(len(np.unique(repeated_days(days).subject)), "with same-day repeats")
    return Estimate(problem=problem) if problem else estimate_within_subject_sd(days, conf_level)


def _judge_subjects(n: int, what: str) -> str | None:
    """Return why so few subjects are not shown, or None.

    >>> _judge_subjects(4, "with same-day repeats"), _judge_subjects(0, "with same-day repeats")
    ('4 subjects with same-day repeats', 'no subjects with same-day repeats')
    """
    return None if n >= FEWEST_SUBJECTS else f"{n or 'no'} subjects {what}"


def _error_rows(
    setting: Setting, one: Repeated, series: Series, within: Estimate, fields: dict[str, Any]
) -> Iterator[Result]:
    level, n = setting.conf_level, len(np.unique(repeated_days(series.days).subject))
    value = one.images[fields["predictor"]].cast(pl.Float64).to_numpy()
    first, second = (value[rows] for rows in series.pairs)
    problem = within.problem
    icc = Estimate(problem=problem) if problem else estimate_icc(series.days, level)
    drift = Estimate(problem=problem) if problem else compare_in_order(first, second, level)
    for statistic, estimate, method in (
        ("within_subject_sd", within, "pooled_variance"),
        ("smallest_detectable_change", detect_change(within, level), "two_images"),
        ("icc", icc, "one_way_random"),
        ("mean_difference", drift, "second_minus_first"),
    ):
        yield _row(setting, one.kind, statistic, estimate, method=method, n=n, **fields)


def _change_rows(
    setting: Setting, kind: str, slopes: Slopes, within: Estimate, fields: dict[str, Any]
) -> Iterator[Result]:
    level, n = setting.conf_level, len(slopes.change)
    problem = _judge_subjects(n, "followed over time")
    refused = Estimate(problem=problem)
    about_age = dict(fields)
    if fields["predictor"].endswith("_raw"):
        about_age["flags"] = (*fields["flags"], "uncorrected_unadjusted")
    mean = refused if problem else average_change(slopes, level)
    yield _row(setting, kind, "change_per_year", mean, method="mean_of_slopes", n=n, **about_age)
    model = problem or fit_random_slopes(slopes, level)
    nothing = Estimate(problem=model if isinstance(model, str) else None)
    change = nothing if isinstance(model, str) else model.change
    yield _row(setting, kind, "change_per_year", change, method="mixed_model", n=n, **about_age)
    if fields["predictor"] == "spine_age_raw":
        return  # it moves by a year a year: only PAD's changes are held against no change
    own = nothing if isinstance(model, str) else model.sd_change
    about_line = nothing if isinstance(model, str) else Estimate(value=model.sd_residual)
    share, beyond = (refused, None) if problem else share_beyond_error(slopes, within, level)
    for statistic, estimate, method in (
        ("sd_change_per_year", refused if problem else spread_of_change(slopes, level), "sd_of_slopes"),
        (
            "sd_change_per_year",
            refused if problem else spread_from_error(slopes, within),
            "measurement_error",
        ),
        ("sd_change_per_year", own, "mixed_model"),
        ("sd_about_line", about_line, "mixed_model"),
        (
            "smallest_detectable_change_per_year",
            refused if problem else detect_per_year(slopes, within, level),
            "median_subject",
        ),
        *((name, refused if problem else e, "type7") for name, e in describe_change(slopes).items()),
    ):
        yield _row(setting, kind, statistic, estimate, method=method, n=n, **fields)
    yield _row(
        setting, kind, "share_beyond_sdc", share, method="binomial_exact", n=n, events=beyond, **fields
    )


def change_curves(setting: Setting, repeated: tuple[Repeated, ...]) -> Iterator[CurvePoint]:
    """Yield the shares of subjects by their change of PAD per year, seen and by measurement error alone."""
    name = setting.pad.name
    for one in repeated:
        slopes = one.series[name].followed.slopes
        if len(slopes.change) < FEWEST_SUBJECTS:
            continue
        edges = _bin_edges(slopes)
        seen = np.histogram(slopes.change, edges)[0] / len(slopes.change)
        shares = {"observed": seen}
        within = _within_subject_sd(one.series[name].days, setting.conf_level)
        if within.value is not None:
            shares["measurement_error"] = np.diff(error_distribution(slopes, within.value, edges))
        for method, share in shares.items():
            for at, y in zip(edges[:-1] + np.diff(edges) / 2, share, strict=True):
                yield CurvePoint(
                    cohort=setting.cohort.name,
                    analysis="repeated_images",
                    x_name="change_per_year",
                    x=float(at),
                    y=float(y),
                    predictor=name,
                    correction=setting.pad.correction,
                    group=f"kind={one.kind}",
                    method=method,
                )


def _bin_edges(slopes: Slopes) -> Any:
    """Return equal bins of a round width over the middle of the changes, 0 among their edges."""
    low, high = np.quantile(slopes.change, [(1 - DRAWN_SHARE) / 2, (1 + DRAWN_SHARE) / 2])
    rough = max(float(high - low), 1e-9) / DRAWN_BINS
    power = 10.0 ** math.floor(math.log10(rough))
    width = next(step * power for step in (1, 2, 5, 10, 20) if step * power >= rough)
    return width * np.arange(math.floor(low / width), math.ceil(high / width) + 1.5)


def subject_changes(setting: Setting, repeated: tuple[Repeated, ...]) -> pl.DataFrame:
    """Return one row per subject and kind with a change per year; never shareable."""
    frames = [pl.DataFrame(schema=CHANGES)]
    for one in repeated:
        names = one.images["subject_id"].unique(maintain_order=True)
        raw = one.series["pad_raw"].followed.slopes
        frame = pl.DataFrame(
            {
                "cohort": pl.repeat(setting.cohort.name, len(raw.change), eager=True),
                "subject_id": names.gather(raw.subject),
                "kind": pl.repeat(one.kind, len(raw.change), eager=True),
                "n_days": raw.n_days,
                "first_date": pl.Series(raw.first_day.astype(np.int32)).cast(pl.Date),
                "span_years": raw.span_years,
                "pad_raw_per_year": raw.change,
                "pad_corrected_per_year": _matched(one, raw),
            },
            schema=CHANGES,
        )
        frames.append(frame)
    return pl.concat(frames)


def _matched(one: Repeated, raw: Slopes) -> pl.Series:
    """Return the corrected changes of the subjects with a raw one, null where there is none."""
    values = np.full(len(raw.change), np.nan)
    if "pad_corrected" in one.series:
        corrected = one.series["pad_corrected"].followed.slopes
        _, at, own = np.intersect1d(raw.subject, corrected.subject, return_indices=True)
        values[at] = corrected.change[own]
    return pl.Series(values).fill_nan(None)


def same_day_pairs(setting: Setting, repeated: tuple[Repeated, ...]) -> pl.DataFrame:
    """Return the first two images of each subject's first day with repeats; never shareable."""
    frames = [pl.DataFrame(schema=REPEATS)]
    for one in repeated:
        first, second = one.series["spine_age_raw"].pairs
        age = one.images["spine_age_raw"].to_numpy()
        shown = one.images.select("subject_id", "study_date")[first]
        per_day = one.images.group_by("subject_id", "study_date").len("n_images")
        frame = shown.with_columns(
            pl.lit(setting.cohort.name).alias("cohort"),
            pl.lit(one.kind).alias("kind"),
            pl.Series("spine_age_mean", (age[first] + age[second]) / 2),
            pl.Series("spine_age_difference", age[second] - age[first]),
        ).join(per_day, on=["subject_id", "study_date"], how="left", maintain_order="left")
        frames.append(frame.select(list(REPEATS)).cast(REPEATS))  # type: ignore[arg-type]
    return pl.concat(frames)
