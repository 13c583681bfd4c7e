"""Repeated images: what is a repeat, what is a change, what cannot be estimated, and how often intervals hold."""

from __future__ import annotations

import time
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f as fisher

from spinescore.core.analysis import analyze
from spinescore.core.statistics.change_per_year import (
    average_change,
    error_distribution,
    fit_slopes,
    share_beyond_error,
    spread_from_error,
    spread_of_change,
)
from spinescore.core.statistics.estimate import Estimate
from spinescore.core.statistics.random_slopes import RandomSlopes, fit_random_slopes
from spinescore.core.statistics.repeated_images import (
    Days,
    average_days,
    estimate_icc,
    estimate_within_subject_sd,
    pair_up,
)
from spinescore.domain import RESULT_KEYS, Analysis, Result
from tests.unit.statistics.coverage_of_repeats import count_covered, honest_band
from tests.unit.statistics.made_up_images import (
    CHANGE,
    CHANGE_SD,
    ERROR_SD,
    FIRST_DAY,
    STUDY,
    make_clinic,
    make_images,
)

REPLICATES = 300


def analysed(images: pl.DataFrame) -> Analysis:
    return analyze([make_clinic(images)], STUDY, correction_method="beheshti", correction_flags={})


def row(analysis: Analysis, statistic: str, **keys: object) -> Result:
    wanted = {"analysis": "repeated_images", "statistic": statistic, "subgroup": "kind=vfa"} | keys
    found = [r for r in analysis.results if all(getattr(r, k) == v for k, v in wanted.items())]
    assert len(found) == 1, (statistic, keys, len(found))
    return found[0]


def days_of(subjects: list[int], days: list[int], values: list[float]) -> Days:
    return average_days(np.array(subjects), np.array(days), np.array(values, dtype=float))


# estimators


def test_days_are_averaged_and_unknown_values_left_out() -> None:
    days = days_of([1, 1, 1, 2, 2], [3, 3, 4, 3, 3], [60, 62, 70, np.nan, 50])
    assert days.subject.tolist() == [1, 1, 2]
    assert days.mean.tolist() == [61, 70, 50]
    assert days.n_images.tolist() == [2, 1, 1]


def test_a_pair_s_within_subject_sd_is_its_difference_over_root_2() -> None:
    found = estimate_within_subject_sd(days_of([1, 1, 2, 2], [0, 0, 0, 0], [60, 62, 50, 54]), 0.95)
    assert found.value == pytest.approx(np.sqrt((2**2 + 4**2) / 4))
    assert found.df == 2


def test_no_repeats_and_no_variance_are_answers() -> None:
    alone = days_of([1, 1, 2], [0, 9, 0], [60, 61, 50])
    equal = days_of([1, 1, 2, 2], [0, 0, 0, 0], [60, 60, 50, 50])
    one = days_of([1, 1], [0, 0], [60, 61])
    assert estimate_within_subject_sd(alone, 0.95).problem == "no same-day repeats"
    assert estimate_icc(alone, 0.95).problem == "no same-day repeats"
    assert estimate_within_subject_sd(equal, 0.95).problem == "no variance within days"
    assert estimate_icc(equal, 0.95).problem == "no variance within days"
    assert estimate_icc(one, 0.95).problem == "1 subjects with same-day repeats"


def test_a_subject_counts_once_in_the_icc_by_its_first_day_with_repeats() -> None:
    once = days_of([1, 1, 2, 2, 3, 3], [5, 5, 5, 5, 5, 5], [60, 61, 50, 52, 70, 69])
    more = days_of(
        [1, 1, 1, 2, 2, 3, 3, 3, 3], [1, 5, 5, 5, 5, 5, 5, 9, 9], [99, 60, 61, 50, 52, 70, 69, 1, 99]
    )
    assert estimate_icc(more, 0.95) == estimate_icc(once, 0.95)


@given(st.integers(0, 10_000), st.floats(0.1, 20), st.floats(-50, 50))
@settings(max_examples=40)
def test_icc_ignores_units_and_origin_and_lies_in_its_interval(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(12), rng.integers(1, 5, 12))
    subject = np.concatenate([subject, [12, 12]])
    value = rng.normal(0, 2, 13)[subject] + rng.normal(0, 1, len(subject))
    day = np.zeros_like(subject)
    icc = estimate_icc(average_days(subject, day, value), 0.95)
    moved = estimate_icc(average_days(subject, day, scale * value + shift), 0.95)
    assert moved.value == pytest.approx(icc.value, abs=1e-8)
    assert (moved.lower, moved.upper) == (
        pytest.approx(icc.lower, abs=1e-6),
        pytest.approx(icc.upper, abs=1e-6),
    )
    assert icc.lower < icc.value < icc.upper


def test_the_exact_interval_is_mcgraw_and_wong_s_where_numbers_are_equal() -> None:
    rng = np.random.default_rng(1)
    k, n = 20, 3
    value = (rng.normal(0, 2, (k, 1)) + rng.normal(0, 1, (k, n))).ravel()
    days = average_days(np.repeat(np.arange(k), n), np.zeros(k * n, int), value)
    table = value.reshape(k, n)
    within = table.var(axis=1, ddof=1).mean()
    ratio = n * table.mean(axis=1).var(ddof=1) / within
    icc = estimate_icc(days, 0.95)
    low, high = (ratio / fisher.ppf(p, k - 1, k * (n - 1)) for p in (0.975, 0.025))
    assert icc.value == pytest.approx((ratio - 1) / (ratio + n - 1))
    assert icc.lower == pytest.approx((low - 1) / (low + n - 1))
    assert icc.upper == pytest.approx((high - 1) / (high + n - 1))


def test_pairs_are_the_first_two_known_images_of_the_first_such_day() -> None:
    subject = np.array([1, 1, 1, 1, 1, 2, 3, 3])
    day = np.array([1, 2, 2, 2, 3, 2, 1, 2])
    value = np.array([50, 51, np.nan, 52, 53, 54, 55, 56.0])
    first, second = pair_up(subject, day, value)
    assert (first.tolist(), second.tolist()) == ([1], [3])


def test_a_change_needs_two_days_far_enough_apart() -> None:
    half_year, short = 183, 182  # half a year is 182.625 days
    days = days_of([1, 2, 2, 3, 3], [0, 0, half_year, 0, short], [60, 60, 61, 60, 61])
    followed = fit_slopes(days, 0.5)
    assert followed.slopes.subject.tolist() == [2]
    assert (followed.n_one_day, followed.n_span_too_short) == (1, 1)
    assert followed.slopes.change[0] == pytest.approx(365.25 / half_year)


def test_nobody_followed_is_an_answer() -> None:
    slopes = fit_slopes(days_of([1, 2], [0, 0], [60, 50]), 0.5).slopes
    within = Estimate(value=1.0)
    for found in (
        average_change(slopes, 0.95),
        spread_of_change(slopes, 0.95),
        spread_from_error(slopes, within),
        share_beyond_error(slopes, within, 0.95)[0],
    ):
        assert found.value is None
        assert found.problem == "no subjects"
    assert fit_random_slopes(slopes, 0.95) == "0 subjects"


def test_over_two_days_the_least_detectable_change_is_that_of_two_images_over_the_span() -> None:
    slopes = fit_slopes(days_of([1, 1], [0, 1461], [60, 62]), 0.5).slopes
    assert slopes.error[0] == pytest.approx(np.sqrt(2) / 4)
    more = fit_slopes(days_of([1, 1, 1, 1], [0, 0, 1461, 1461], [60, 60, 62, 62]), 0.5).slopes
    assert more.error[0] == pytest.approx(1 / 4)  # two images a day halve the error's variance


def test_the_mixed_model_is_the_mean_of_slopes_where_all_have_the_same_days() -> None:
    rng = np.random.default_rng(4)
    subject = np.repeat(np.arange(60), 4)
    day = np.tile([0, 400, 900, 1500], 60)
    value = rng.normal(0, 4, 60)[subject] + rng.normal(0.2, 0.8, 60)[subject] * day / 365.25
    slopes = fit_slopes(average_days(subject, day, value + rng.normal(0, 1, 240)), 0.5).slopes
    model, plain = fit_random_slopes(slopes, 0.95), average_change(slopes, 0.95)
    assert isinstance(model, RandomSlopes)
    assert (model.change.value, model.change.se) == (
        pytest.approx(plain.value, rel=1e-8),
        pytest.approx(plain.se, rel=1e-7),
    )


def test_the_mixed_model_needs_a_third_day() -> None:
    slopes = fit_slopes(days_of([1, 1, 2, 2, 3, 3], [0, 400] * 3, [1, 2, 3, 5, 4, 4]), 0.5).slopes
    assert fit_random_slopes(slopes, 0.95) == "no subject with three days"


def test_exact_lines_have_no_variance_about_them() -> None:
    subject, day = np.repeat(np.arange(6), 3), np.tile([0, 400, 800], 6)
    slopes = fit_slopes(average_days(subject, day, subject * 1.0 + day * 0.5), 0.5).slopes
    assert fit_random_slopes(slopes, 0.95) == "no variance about the lines"


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_a_change_of_origin_and_unit_moves_the_mixed_model_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(15), rng.integers(2, 5, 15))
    day = np.sort(rng.integers(0, 2000, len(subject)) + 3000 * subject)
    value = rng.normal(0, 3, 15)[subject] + rng.normal(0, 1, len(subject))
    fits = [
        fit_random_slopes(fit_slopes(average_days(subject, day, v), 0.01).slopes, 0.95)
        for v in (value, 10 * value + 500)
    ]
    assert isinstance(fits[0], RandomSlopes)
    assert isinstance(fits[1], RandomSlopes)
    assert fits[1].change.value == pytest.approx(10 * fits[0].change.value, rel=1e-4, abs=1e-5)
    assert fits[1].sd_residual == pytest.approx(10 * fits[0].sd_residual, rel=1e-4)


def test_the_share_beyond_error_is_what_error_alone_gives_where_nobody_changes() -> None:
    rng = np.random.default_rng(5)
    n = 4000
    subject = np.repeat(np.arange(n), 2)
    day = np.ravel(np.c_[np.zeros(n, int), rng.integers(200, 2000, n)])
    slopes = fit_slopes(average_days(subject, day, rng.normal(0, ERROR_SD, 2 * n)), 0.5).slopes
    within = Estimate(value=ERROR_SD)
    share, beyond = share_beyond_error(slopes, within, 0.95)
    assert share.lower <= 0.05 <= share.upper
    assert beyond == round(share.value * n)
    assert spread_from_error(slopes, within).value == pytest.approx(slopes.change.std(ddof=1), rel=0.05)
    at = np.array([-np.inf, -1.0, 0.0, 1.0, np.inf])
    expected = error_distribution(slopes, ERROR_SD, at)
    seen = (slopes.change[:, None] <= at).mean(axis=0)
    assert np.abs(expected - seen).max() < 0.03
    assert expected[2] == pytest.approx(0.5)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Exact intervals; the mixed model's is not, and is judged with thousands of replicates (tests/soak)."""
    covered = count_covered(REPLICATES, seed=20251125)
    low, high = honest_band(REPLICATES)
    for name in ("within_subject_sd", "smallest_detectable_change", "icc", "mean_of_slopes"):
        assert low <= covered[name] <= high, name


# rows


def test_the_parts_of_a_made_up_clinic_are_found_again() -> None:
    found = analysed(make_images(2000))
    within = row(found, "within_subject_sd", predictor="pad_raw")
    assert within.value == pytest.approx(ERROR_SD, rel=0.05)
    detectable = row(found, "smallest_detectable_change", predictor="pad_raw")
    assert detectable.value == pytest.approx(1.959964 * np.sqrt(2) * within.value, rel=1e-6)
    model = row(found, "change_per_year", predictor="pad_raw", method="mixed_model")
    assert model.lower < CHANGE < model.upper
    assert row(found, "sd_change_per_year", predictor="pad_raw", method="mixed_model").value == pytest.approx(
        CHANGE_SD, rel=0.15
    )
    about = row(found, "sd_about_line", predictor="pad_raw", method="mixed_model")
    assert about.value < ERROR_SD  # some days are means of two images
    raw, spine = (
        row(found, "change_per_year", predictor=p, method="mean_of_slopes")
        for p in ("pad_raw", "spine_age_raw")
    )
    assert spine.value == pytest.approx(raw.value + 1)  # the calendar's own year
    corrected = row(found, "within_subject_sd", predictor="pad_corrected")
    assert corrected.value == pytest.approx(0.9 * within.value)
    assert corrected.correction == "beheshti"


def test_every_row_has_a_key_of_its_own_and_subjects_add_up() -> None:
    found = analysed(pl.concat([make_images(), make_images(kind="radiograph", seed=8)]))
    rows = [r for r in found.results if r.analysis == "repeated_images"]
    assert len({tuple(getattr(r, key) for key in RESULT_KEYS) for r in rows}) == len(rows)
    for kind in ("vfa", "radiograph"):
        n = {r.statistic: r.n for r in rows if r.subgroup == f"kind={kind}" and r.statistic.startswith("n_")}
        assert n["n_one_day"] + n["n_span_too_short"] + n["n_followed"] == n["n_subjects"]
        assert all(n.values()) or n["n_identical_images"] == n["n_undated_images"] == 0


def test_a_copy_is_no_repeat_and_is_counted() -> None:
    images = make_images(repeats=0)
    copies = images.with_columns(pl.col("sop_instance_uid") + ".copy")
    once, twice = analysed(images), analysed(pl.concat([images, copies]))
    assert row(twice, "n_identical_images").n == images.height
    assert row(twice, "n_images").n == images.height
    assert row(twice, "n_repeated_subjects").n == 0
    assert row(twice, "icc", predictor="pad_raw").note == "no subjects with same-day repeats"
    assert [
        r for r in twice.results if r.analysis == "repeated_images" and r.statistic != "n_identical_images"
    ] == [r for r in once.results if r.analysis == "repeated_images" and r.statistic != "n_identical_images"]


def test_a_copy_under_another_date_is_no_change() -> None:
    images = make_images(50, days=1, repeats=0)
    later = images.with_columns(pl.col("study_date").dt.offset_by("3y"), pl.col("sop_instance_uid") + ".copy")
    found = analysed(pl.concat([later, images]))
    assert row(found, "n_followed").n == 0
    assert found.changes.is_empty()


def test_the_same_pixels_in_two_subjects_are_left_alone() -> None:
    images = make_images(50).with_columns(pixel_sha256=pl.col("study_date").cast(pl.String))
    assert row(analysed(images.unique(["subject_id", "study_date"])), "n_identical_images").n == 0


@pytest.mark.parametrize("hash_of", ["dropped", "null"])
def test_without_a_hash_no_copy_is_recognised(hash_of: str) -> None:
    images = make_images(50)
    unknown = pl.lit(None, dtype=pl.String).alias("pixel_sha256")
    images = images.drop("pixel_sha256") if hash_of == "dropped" else images.with_columns(unknown)
    found = analysed(images)
    copies = row(found, "n_identical_images")
    assert (copies.value, copies.n, copies.note) == (None, None, "pixels not known")
    assert row(found, "n_images").n == images.height


def test_undated_images_are_counted_and_not_used() -> None:
    images = make_images(60)
    some = images.with_columns(
        pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise("study_date").alias("study_date")
    )
    assert row(analysed(some), "n_undated_images").n == 5
    assert row(analysed(some), "n_images").n == images.height - 5


def test_kinds_are_never_mixed() -> None:
    """A subject with one image of each kind on a day has no repeat, and none over the years a change."""
    vfa = make_images(40, days=1, repeats=0)
    radiograph = vfa.with_columns(
        pl.lit("radiograph").alias("kind"),
        pl.col("sop_instance_uid") + ".r",
        pl.col("study_date").dt.offset_by("2y"),
        pl.col("pixel_sha256") + "r",
    )
    found = analysed(pl.concat([vfa, radiograph]))
    for kind in ("vfa", "radiograph"):
        assert row(found, "n_subjects", subgroup=f"kind={kind}").n == 40
        assert row(found, "n_one_day", subgroup=f"kind={kind}").n == 40
    assert not [r for r in found.results if r.analysis == "repeated_images" and r.statistic == "icc"]


def test_one_image_a_subject_gives_counts_and_nothing_else() -> None:
    found = analysed(make_images(50, days=1, repeats=0))
    names = {r.statistic for r in found.results if r.analysis == "repeated_images"}
    assert names <= {
        *(f"n_{what}" for what in ("images", "undated_images", "identical_images", "subjects", "one_day")),
        *(f"n_{what}" for what in ("repeated_subjects", "repeated_days", "span_too_short", "followed")),
        "median_span_years",
    }
    assert found.changes.is_empty()
    assert found.repeats.is_empty()


def test_a_cohort_without_an_image_list_has_no_such_rows() -> None:
    cohort = make_clinic(make_images(50))
    bare = type(cohort)(cohort.name, cohort.subjects, {}, cohort.attrition)
    found = analyze([bare], STUDY, correction_method="beheshti", correction_flags={})
    assert not [r for r in found.results if r.analysis == "repeated_images"]


def test_four_subjects_are_too_few_and_it_is_said_of_what() -> None:
    found = analysed(make_images(4, seed=6, days=4, repeats=1))
    assert row(found, "within_subject_sd", predictor="pad_raw").note == "4 subjects with same-day repeats"
    change = row(found, "change_per_year", predictor="pad_raw", method="mean_of_slopes")
    assert (change.value, change.status) == (None, "not_estimable")
    assert change.note.endswith("subjects followed over time")


def test_a_change_is_stored_per_subject_with_its_days() -> None:
    start = date(2010, 1, 1)
    images = make_images(30, days=1, repeats=0).with_columns(study_date=pl.lit(start))
    later = images.with_columns(
        pl.lit(date(2014, 1, 1)).alias("study_date"),
        pl.col("pad_raw") + 2,
        pl.col("spine_age_raw") + 6,
        pl.lit(None, dtype=pl.Float64).alias("pad_corrected"),
        pl.col("sop_instance_uid") + ".l",
        pl.col("pixel_sha256") + "l",
    )
    changes = analysed(pl.concat([later, images])).changes
    assert changes.height == 30
    assert changes["subject_id"].is_sorted()
    assert set(changes["first_date"]) == {start}
    assert set(changes["n_days"]) == {2}
    assert changes["pad_raw_per_year"].to_list() == pytest.approx([0.5] * 30)
    assert changes["pad_corrected_per_year"].null_count() == 30


def test_pairs_of_a_day_are_stored_in_order_of_time() -> None:
    base = make_images(12, days=1, repeats=0).with_columns(study_time=pl.lit("100000"))
    after = base.with_columns(
        pl.lit("110000").alias("study_time"),
        pl.col("spine_age_raw") + 3,
        (pl.lit("0") + pl.col("sop_instance_uid")).alias("sop_instance_uid"),
        pl.col("pixel_sha256") + "a",
    )
    found = analysed(pl.concat([after, base]))
    assert found.repeats["spine_age_difference"].to_list() == pytest.approx([3.0] * 12)
    assert set(found.repeats["n_images"]) == {2}
    assert row(found, "mean_difference", predictor="spine_age_raw").value == pytest.approx(3)


def test_raw_changes_carry_their_caution() -> None:
    found = analysed(make_images())
    raw = row(found, "change_per_year", predictor="pad_raw", method="mean_of_slopes")
    corrected = row(found, "change_per_year", predictor="pad_corrected", method="mean_of_slopes")
    assert "uncorrected_unadjusted" in raw.flags
    assert "uncorrected_unadjusted" not in corrected.flags


def test_the_curves_are_shares_of_subjects_around_no_change() -> None:
    curves = [c for c in analysed(make_images(1000)).curves if c.analysis == "repeated_images"]
    shares = {m: sum(c.y for c in curves if c.method == m) for m in ("observed", "measurement_error")}
    assert 0.94 <= shares["observed"] <= 1
    assert 0.9 <= shares["measurement_error"] <= 1
    xs = sorted({c.x for c in curves})
    assert np.ptp(np.diff(xs)) < 1e-9
    assert all(abs(x / (xs[1] - xs[0]) - round(x / (xs[1] - xs[0]) - 0.5) - 0.5) < 1e-6 for x in xs)


def test_row_order_does_not_matter() -> None:
    images = make_images(80)
    first, second = analysed(images), analysed(images.sample(fraction=1, shuffle=True, seed=2))
    ours = [[r for r in a.results if r.analysis == "repeated_images"] for a in (first, second)]
    assert ours[0] == ours[1]
    assert first.changes.equals(second.changes)


def test_two_hundred_thousand_images_take_a_few_seconds() -> None:
    rng = np.random.default_rng(7)
    n = 200_000
    subject = np.sort(rng.integers(0, 80_000, n))
    day = np.sort(rng.integers(0, 3000, n) + 4000 * subject) - 4000 * subject + FIRST_DAY
    value = rng.normal(0, 4, 80_000)[subject] + rng.normal(0, 2, n)
    start = time.perf_counter()
    days = average_days(subject, day, value)
    slopes = fit_slopes(days, 0.5).slopes
    assert isinstance(fit_random_slopes(slopes, 0.95), RandomSlopes)
    assert estimate_icc(days, 0.95).value is not None
    assert time.perf_counter() - start < 10
