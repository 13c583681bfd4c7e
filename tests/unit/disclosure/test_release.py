"""What is published of a real analysis: true within its stated bounds, and nothing of single people."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest

from spinescore.core.disclosure.audit import Release, find_bounded
from spinescore.core.disclosure.rare_levels import POOLED, pool_rare_levels
from spinescore.core.disclosure.release import make_shareable
from spinescore.core.reporting.material import Material
from spinescore.domain import Result, as_row
from tests.unit.disclosure.conftest import K, Made

COUNTS = ("n", "events")


def test_no_count_can_be_told(release: Release) -> None:
    assert len(release.ranges) > 1000
    assert find_bounded(release) == []


def test_what_is_known_holds_of_the_true_counts(made: Made, release: Release) -> None:
    """An audit of relations that do not hold would prove nothing."""
    truth = _true_counts(made)
    checked = 0
    for row in release.known:
        if all(name in truth for name, _ in row.terms):
            total = sum(factor * truth[name] for name, factor in row.terms)
            assert row.least <= total <= row.most, row
            checked += 1
    assert checked > 1000
    tied = {name for name, count in truth.items() if not _is_sum(name)}
    assert all(release.ranges[name][0] <= truth[name] <= release.ranges[name][1] for name in tied)


def _is_sum(name: str) -> bool:
    """Everybody's levels in Table 1 are sums over groups: each group's part is rounded."""
    return "table_one" in name and "overall" in name and "subjects" not in name


def _true_counts(made: Made) -> dict[str, float]:
    rows = pool_rare_levels(list(made.material.results), K)
    return {
        name: float(getattr(rows[cell.row], cell.column) or 0)
        for name, cell in made.shareable.relations.cells.items()
        if cell.source == "results"
    }


def test_every_count_is_a_multiple(made: Made) -> None:
    for row in made.shareable.material.results:
        assert all((getattr(row, column) or 0) % K == 0 for column in COUNTS), row
    for column in ("n_remaining", "n_excluded"):
        assert (made.shareable.material.attrition[column] % K == 0).all()
    risk = made.shareable.material.curves.filter(pl.col("analysis") == "number_at_risk")
    assert risk.height > 10
    assert (risk["n_at_risk"] % K == 0).all()
    assert (risk["cumulative_events"] % K == 0).all()


def test_lines_step_only_where_enough_events_have_accrued(made: Made) -> None:
    """Each step of a published line stands for at least ``k`` events of its group, counted in the rows."""
    curves = made.shareable.material.curves
    lines = curves.filter((pl.col("analysis") == "cumulative_incidence") & (pl.col("cause") == "fracture"))
    assert lines["group"].null_count() == 0
    steps = 0
    for (cohort, group), line in lines.group_by("cohort", "group", maintain_order=True):
        times = _event_times(made, str(cohort), str(group))
        accrued = 0
        for before, now in zip(line.iter_rows(named=True), line[1:].iter_rows(named=True), strict=False):
            if now["y"] != before["y"] or now["lower"] != before["lower"]:
                so_far = sum(time <= now["x"] for time in times)
                assert so_far - accrued >= K
                accrued, steps = so_far, steps + 1
    assert steps > 10


def _event_times(made: Made, cohort: str, group: str) -> list[float]:
    (own,) = (c for c in made.cohorts if c.name == cohort)
    pad = own.subjects["pad_corrected"].to_numpy()
    number = np.searchsorted(np.quantile(pad, (1 / 3, 2 / 3)), pad)
    members = own.subjects.filter(number == int(group[1]) - 1)["subject_id"]
    follow_up = own.follow_up["fracture"]
    events = follow_up.filter((pl.col("status") == 1) & pl.col("subject_id").is_in(members.to_list()))
    return events["exit_years"].to_list()


def test_nothing_of_single_people_is_left(made: Made) -> None:
    shared = made.shareable.material
    assert shared.points.is_empty()
    assert shared.repeats.is_empty()
    assert not shared.hashes
    text = json.dumps([as_row(row) for row in shared.results]) + shared.curves.write_json()
    for cohort in made.cohorts:
        for column in ("age_years", "spine_age_raw", "pad_corrected"):
            for value in (cohort.subjects[column].min(), cohort.subjects[column].max()):
                assert f"{value:.4f}" not in text
        times = cohort.follow_up["fracture"]["exit_years"]
        own = shared.curves.filter(
            (pl.col("cohort") == cohort.name) & (pl.col("x_name") == "follow_up_years")
        )
        assert ((own["x"] / 0.25) % 1 == 0).all()
        assert not ((times / 0.25) % 1 == 0).all()


def test_rare_levels_are_not_named(made: Made) -> None:
    shared = [as_row(row) for row in made.shareable.material.results]
    assert any(row["comparator"] == "Rare maker" for row in map(as_row, made.material.results))
    assert "Rare maker" not in json.dumps(shared)
    assert any(row["comparator"] == POOLED for row in shared)


def test_reasons_of_few_are_not_named(made: Made) -> None:
    reasons = set(made.shareable.material.attrition["reason"])
    assert not {"rejected", "missing"} & reasons
    assert {"no spine", "later image", "day 0"} <= reasons


def test_that_a_number_is_withheld_depends_on_published_counts_alone(made: Made) -> None:
    """Otherwise its absence would say on which side of the least count the true one lies."""
    for row in made.shareable.material.results:
        estimate = row.statistic not in ("n", "count", "percent", "missing") and not row.statistic.startswith(
            "n_"
        )
        if row.status == "suppressed":
            assert row.value is None
        elif estimate and row.value is not None and row.n is not None and row.analysis != "correction":
            assert row.n >= 2 * K or row.n == 0, row
            assert row.events is None or row.events >= 2 * K, row


def test_conditions_that_name_people_are_not_shown(made: Made) -> None:
    study = made.shareable.material.study
    assert study.cohorts["Derivation"].where == "true"
    assert "s7" not in study.cohorts["External"].where
    assert "trained_on" not in made.shareable.material.model["manifest"]


def test_ratios_stay_as_they_are_printed(made: Made) -> None:
    true = {_key(row): row for row in made.material.results}
    kept = [row for row in made.shareable.material.results if row.statistic == "hr_per_sd" and row.value]
    assert len(kept) > 20
    assert all(row.value == pytest.approx(true[_key(row)].value, abs=0.005) for row in kept)


def _key(row: Result) -> tuple[object, ...]:
    from spinescore.domain import RESULT_KEYS

    return tuple(getattr(row, key) for key in RESULT_KEYS)


def test_a_field_that_is_new_to_the_material_is_left_out(made: Made) -> None:
    known = {
        "study", "results", "curves", "points", "repeats", "attrition", "corrections", "images", "model",
        "runs", "versions", "made_at",
    }  # fmt: skip
    shared = made.shareable.material
    for field in fields(Material):
        if field.name not in known:
            assert len(getattr(shared, field.name)) == 0, f"{field.name} is shared without being dealt with"


def test_a_least_count_of_one_hides_nothing(made: Made) -> None:
    with pytest.raises(ValueError, match="2 or more"):
        make_shareable(made.material, 1)


def test_an_unchanged_analysis_is_published_unchanged(made: Made) -> None:
    """No noise: who asks twice learns nothing more."""
    again = make_shareable(replace(made.material), K).material
    assert list(again.results) == list(made.shareable.material.results)
    assert again.curves.equals(made.shareable.material.curves)
