"""Follow-up tables -> the database, keyed by the same pseudonyms as the images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl

from spinescore.core.cohort.conflicts import read_table_facts
from spinescore.core.cohort.linkage import Links, explain_mismatch, id_shapes, read_links
from spinescore.core.follow_up_table import FollowUp, read_subjects
from spinescore.domain import StageSummary
from spinescore.errors import StudyError, TableError
from spinescore.shell.identity import MODE_KEY, Pseudonymiser, pseudonymiser
from spinescore.shell.tabular import find_table, hash_table
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

NO_LINKS = pl.DataFrame(schema=dict.fromkeys(("image_subject_id", "subject_id"), pl.String))
SHOWN_REASONS = 3


class ReadTables(NamedTuple):
    """The follow-up table and the linkage table of a study, read and held against the images.

    Attributes
    ----------
    follow_up : FollowUp
        Subjects, outcomes, and what was detected.
    links : polars.DataFrame
        ``image_subject_id, subject_id``; empty without a linkage table.
    n_matched : int or None
        Subjects of the table who have an image; None where there is no image yet.
    detected : mapping of str to str
        What was detected rather than declared.
    warnings : tuple of str
        What was accepted but should be looked at.
    """

    follow_up: FollowUp
    links: pl.DataFrame
    n_matched: int | None
    detected: Mapping[str, str]
    warnings: tuple[str, ...]


def import_outcomes(warehouse: Warehouse, study: Study) -> StageSummary:
    """Read the study's follow-up table into ``subjects`` and ``outcomes``, if it or the settings changed.

    Raises
    ------
    TableError
        If a table is not what the study says, or no id of it is a PatientID; nothing is written then.
    DatabaseError
        If the database has other rules for identifiers.
    """
    if study.subjects is None:
        raise StudyError("The study file has no [subjects] table.", "Add [subjects] with `file` and `id`.")
    fingerprint = _fingerprint(warehouse, study)
    if warehouse.has_table("subjects") and warehouse.last_run("outcomes", fingerprint) is not None:
        return StageSummary("outcomes", changed=False, message="follow-up table unchanged")
    read = read_tables(warehouse, study)
    subjects, outcomes = read.follow_up.subjects, read.follow_up.outcomes
    facts = _table_facts(warehouse, study, read)
    arguments = {"file": str(study.subjects.file), "detected": read.detected}
    with warehouse.run("outcomes", arguments, input_sha256=fingerprint) as run:
        made_by = pl.lit(run.run_id).alias("run_id")
        numbered = subjects.select("subject_id").with_row_index("row_number", offset=1)
        with warehouse.transaction():
            warehouse.execute("outcomes/forget_corrected", facts=facts)
            warehouse.execute("outcomes/forget_splits", links=read.links)
            warehouse.replace("subjects", subjects)
            warehouse.refill("subject_rows", numbered.with_columns(made_by))
            warehouse.refill("outcomes", outcomes.with_columns(made_by))
            warehouse.refill("subject_links", read.links.with_columns(made_by))
            warehouse.refill("table_facts", facts.with_columns(made_by))
        run.counts = {"subjects": subjects.height, "outcomes": outcomes.height}
        if read.n_matched is not None:
            run.counts["with_image"] = read.n_matched
    matched = "" if read.n_matched is None else f" ({read.n_matched:,} with an image)"
    return StageSummary(
        "outcomes",
        changed=True,
        message=f"{subjects.height:,} subjects{matched}, {len(study.endpoints)} endpoints read "
        f"({_spoken(read.detected)})",
        counts=run.counts,
        warnings=read.warnings,
    )


def read_tables(warehouse: Warehouse, study: Study) -> ReadTables:
    """Read the follow-up table and the linkage table and hold their ids against the images; write nothing.

    Raises
    ------
    TableError
        With everything wrong in both tables; or if no id of the table is a PatientID, with what would match.
    DatabaseError
        If the database has other rules for identifiers.
    """
    assert study.subjects is not None
    identify = pseudonymiser(warehouse, id_width=study.images.id_width)
    problems: list[TableError] = []
    follow_up = links = None
    detected: Mapping[str, str] = {}
    try:
        found = find_table(study.subjects.file, study.subjects)
        today = datetime.now(UTC).date()
        follow_up = read_subjects(found.rows, study, identify, delimiter=found.delimiter, today=today)
        detected = {**found.detected, **follow_up.detected}
    except TableError as error:
        problems.append(error)
    try:
        links = _read_links(study, identify)
    except TableError as error:
        problems.append(error)
    if problems or follow_up is None:
        raise problems[0] if len(problems) == 1 else TableError("\n".join(map(str, problems)))
    n_matched, warnings = _match(warehouse, study, identify, follow_up, links)
    linked = () if links is None else links.warnings
    return ReadTables(
        follow_up,
        NO_LINKS if links is None else links.rows,
        n_matched,
        detected,
        (*follow_up.warnings, *linked, *warnings),
    )


def _read_links(study: Study, identify: Pseudonymiser) -> Links | None:
    if study.linkage is None:
        return None
    assert study.subjects is not None
    found = find_table(study.linkage.file, study.linkage)
    return read_links(
        found.rows,
        study.linkage,
        identify,
        issuer=study.subjects.issuer,
        id_width=study.subjects.id_width,
    )


def _match(
    warehouse: Warehouse, study: Study, identify: Pseudonymiser, follow_up: FollowUp, links: Links | None
) -> tuple[int | None, tuple[str, ...]]:
    """Return how many subjects of the table have an image, and warnings about those who have none.

    Raises
    ------
    TableError
        If there are images and nobody has one.
    """
    images = warehouse.fetch("outcomes/image_subjects")
    if images.is_empty():
        return None, ()
    subjects = follow_up.subjects.select("subject_id")
    if links is None:
        has_image = subjects.select(pl.col("subject_id").is_in(images["subject_id"].implode())).to_series()
        ids = follow_up.ids.filter(~has_image)
    else:
        imaged = links.rows["image_subject_id"].is_in(images["subject_id"].implode())
        linked = links.rows.filter(imaged)["subject_id"].implode()
        has_image = subjects.select(pl.col("subject_id").is_in(linked)).to_series()
        ids = (
            links.patient_ids.unique(maintain_order=True)
            if not imaged.any()
            else pl.Series([], dtype=pl.String)
        )
    n_matched = int(has_image.sum())
    if n_matched == subjects.height:
        return n_matched, ()
    assert study.subjects is not None
    issuer = study.subjects.issuer if links is None else None
    reasons = explain_mismatch(ids, images["subject_id"], identify, issuer) if len(ids) else []
    if n_matched == 0:
        raise _nobody_matched(warehouse, study, ids, images["subject_id"], reasons)
    missing = f"{subjects.height - n_matched:,} of {subjects.height:,} subjects of the table have no image"
    hints = [f"{n:,} of them {hint}" for n, hint in reasons[:1]]
    return n_matched, ("; ".join([missing, *hints]),)


def _nobody_matched(
    warehouse: Warehouse, study: Study, ids: pl.Series, images: pl.Series, reasons: list[tuple[int, str]]
) -> TableError:
    section = study.linkage or study.subjects
    assert section is not None
    tried = f"0 of {len(ids):,} ids match the PatientID of an image ({len(images):,} subjects have one)"
    if reasons:
        hints = "; ".join(f"{n:,} {hint}" for n, hint in reasons[:SHOWN_REASONS])
        return TableError(f"{section.file}: {tried}.", f"{hints}.")
    written = f"The table's ids are written {id_shapes(ids)}"
    if warehouse.meta(MODE_KEY) == "verbatim":
        written += f", the images' {id_shapes(images)}"
    return TableError(
        f"{section.file}: {tried}, however they are written.",
        f"{written} (9 a digit, A a letter). Check the id column; say `issuer` if the images' PatientIDs "
        "have one; or name a [linkage] table of which PatientID is which id.",
    )


def _table_facts(warehouse: Warehouse, study: Study, read: ReadTables) -> pl.DataFrame:
    """Return what the table says of sex and age at each image; nothing unless it has such a column."""
    people = read.follow_up.people
    said = people.select(pl.col("sex", "age_years", "birth_date").is_not_null().any()).row(0)
    assert study.subjects is not None
    images = warehouse.fetch("outcomes/image_facts", links=read.links, only_links=study.linkage is not None)
    return read_table_facts(images if any(said) else images.clear(), people)


def _spoken(detected: Mapping[str, str]) -> str:
    """Say what was detected of a table, in one line."""
    table_format, *rest = detected.items()
    return "; ".join([table_format[1], *(f"{what}: {found}" for what, found in rest)])


def _fingerprint(warehouse: Warehouse, study: Study) -> str:
    """Return what the import depends on: tables, settings, and the images it is held against."""
    assert study.subjects is not None
    read: dict[str, Any] = {
        "subjects": True,
        "linkage": True,
        "endpoints": True,
        "covariates": True,
        "images": {"id_width"},
    }
    settings = study.model_dump_json(include=read)
    parts = [hash_table(study.subjects.file), settings]
    if study.linkage is not None:
        parts.append(hash_table(study.linkage.file))
    parts += [str(value) for value in warehouse.fetch("outcomes/images_state").row(0)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
