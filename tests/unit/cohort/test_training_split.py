"""No subject is in two parts of a training split, whoever else is there."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.core.cohort.training_split import split_subjects


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["radiograph", "vfa"])), min_size=1, max_size=200),
    st.integers(0, 9),
)
def test_all_images_of_a_subject_fall_into_one_part_whoever_else_is_there(
    images: list[tuple[int, str]], seed: int
) -> None:
    table = pl.DataFrame({"subject_id": [str(s) for s, _ in images], "kind": [kind for _, kind in images]})
    parts = split_subjects(table, (0.6, 0.2, 0.2), seed)
    ids = [set(part["subject_id"]) for part in parts.values()]
    assert sum(part.height for part in parts.values()) == len(images)
    assert len(set.union(*ids)) == sum(map(len, ids))
    alone = split_subjects(table.head(1), (0.6, 0.2, 0.2), seed)
    [home] = [name for name, part in alone.items() if part.height]
    assert str(images[0][0]) in set(parts[home]["subject_id"])


def test_the_parts_have_their_shares() -> None:
    table = pl.DataFrame({"subject_id": [str(i) for i in range(5000)]})
    parts = split_subjects(table, (0.6, 0.2, 0.2), 1)
    assert [round(part.height / 5000, 1) for part in parts.values()] == [0.6, 0.2, 0.2]


def test_whom_a_network_has_seen_stays_where_it_was() -> None:
    table = pl.DataFrame({"subject_id": [str(i) for i in range(100)]})
    settled = {"1": "train", "2": "validation"}
    parts = split_subjects(table, (0.0, 0.0, 1.0), 1, settled=settled)
    assert parts["train"]["subject_id"].to_list() == ["1"]
    assert parts["validation"]["subject_id"].to_list() == ["2"]
