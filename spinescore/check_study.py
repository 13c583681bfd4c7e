"""What a study file would find: its table, its images, its cohorts; nothing is scored, fitted or stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import polars as pl

from spinescore.calibrate import calibrate
from spinescore.core.follow_up_table import FollowUp, read_subjects
from spinescore.domain import Cohort
from spinescore.errors import IntendedUseError, SpineScoreError
from spinescore.outcomes import import_outcomes, read_tables
from spinescore.run import model_key, study_bundle
from spinescore.shell.cohorts import ModelKey, build_cohort, subject_images, unmatched_rows
from spinescore.shell.corrections import correction_method, stated_corrections
from spinescore.shell.reference_cohorts import reference_rows
from spinescore.shell.sandbox import Sandbox
from spinescore.shell.tabular import find_table
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study

SHOWN_LEVELS = 6
CORRECTED = "spine_age_corrected"


@dataclass(frozen=True, slots=True)
class ColumnCheck:
    """A covariate or endpoint as the follow-up table has it: how many values are known, and what they are."""

    name: str
    role: str
    n_known: int
    n_rows: int
    values: str


@dataclass(slots=True)
class StudyCheck:
    """What was found.

    Parameters
    ----------
    messages : list of str
        What was read, a line each.
    columns : list of ColumnCheck
    counts : dict of str to int
        ``images``: indexed; ``scored``: of them by the study's model; ``pending``: which a run would score.
    references : list of (kind, cohort, subjects)
        Whom each correction would be fitted on; of a file, its name instead of a cohort's.
    unmatched : polars.DataFrame
        ``side, subject_id, row_number, n_images, reason``: who is on one side of the linkage alone.
    cohorts : list of Cohort
    warnings, problems, missing : list of str
        What should be looked at; what would stop a run; what has to be done before the rest can be counted.
    """

    messages: list[str] = field(default_factory=list)
    columns: list[ColumnCheck] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    references: list[tuple[str, str, int]] = field(default_factory=list)
    unmatched: pl.DataFrame = field(default_factory=pl.DataFrame)
    cohorts: list[Cohort] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], object]) -> bool:
        """Do a step and note what stops it."""
        try:
            step()
        except SpineScoreError as error:
            if str(error) not in self.problems:  # a wrong condition stops several steps
                self.problems.append(str(error))
            return False
        return True


def check_study(study: Study) -> StudyCheck:
    """Read a study's table and hold it against the database, then undo it.

    Nothing is computed that takes long: no image is read, no model of outcomes fitted. With a database the
    subjects, their links, the corrections and the cohorts are made as a run would make them, in a
    transaction that is rolled back.

    Raises
    ------
    DatabaseError
        If the database cannot be opened.
    """
    check = StudyCheck()
    _look_for_sources(study, check)
    if not study.analysis_cohorts():
        check.problems.append('no cohort is analysed. Add [cohorts.NAME] with `where = "..."`.')
    if not study.study.database.exists():
        check.missing.append(_first_step(study))
        if study.model.imported is None:
            check.attempt(lambda: study_bundle(study))
        if study.subjects is not None:
            check.attempt(lambda: _read_table_alone(study, check))
        return check
    with open_warehouse(study.study.database) as warehouse, warehouse.rehearsal():
        sound = study.subjects is None or check.attempt(lambda: _read_tables(warehouse, study, check))
        check.attempt(lambda: _count_images(warehouse, study, check, sound_table=sound))
    return check


def _first_step(study: Study) -> str:
    maker = "`spinescore scores import`" if study.model.imported is not None else "`spinescore run`"
    return f"there is no database at {study.study.database} yet: {maker} makes it"


def _look_for_sources(study: Study, check: StudyCheck) -> None:
    """Note image sources that are not there, or not named: a run would stop at them."""
    if study.model.imported is not None:
        return
    gone = [str(source) for source in study.images.sources if not source.exists()]
    if gone:
        check.problems.append(f"images.sources: not there: {', '.join(gone)}. Mend the path.")
    if not study.images.sources:
        check.missing.append(
            "[images] names no `sources`, so `spinescore run` cannot start: name where the DICOM files are"
        )


def _read_table_alone(study: Study, check: StudyCheck) -> None:
    assert study.subjects is not None
    found = find_table(study.subjects.file, study.subjects)
    today = datetime.now(UTC).date()
    read = read_subjects(
        found.rows, study, lambda patient_id, _: patient_id, delimiter=found.delimiter, today=today
    )
    _note_table(study, check, read, {**found.detected, **read.detected}, read.warnings)


def _read_tables(warehouse: Warehouse, study: Study, check: StudyCheck) -> None:
    read = read_tables(warehouse, study)
    _note_table(study, check, read.follow_up, read.detected, read.warnings, read.n_matched)
    import_outcomes(warehouse, study)


def _note_table(
    study: Study,
    check: StudyCheck,
    read: FollowUp,
    detected: Mapping[str, str],
    warnings: Sequence[str],
    n_matched: int | None = None,
) -> None:
    assert study.subjects is not None
    matched = "" if n_matched is None else f", {n_matched:,} with an image"
    file = f"{study.subjects.file.name} ({detected.get('format', '')})"
    check.messages.append(f"{file}: {read.subjects.height:,} subjects{matched}")
    check.messages.extend(f"  {what}: {how}" for what, how in detected.items() if what != "format")
    check.warnings.extend(warnings)
    check.columns.extend(_describe(study, read.subjects, read.outcomes))


def _describe(study: Study, subjects: pl.DataFrame, outcomes: pl.DataFrame) -> list[ColumnCheck]:
    n = subjects.height
    found = [
        ColumnCheck(name, covariate.type, n - subjects[name].null_count(), n, _values(subjects[name]))
        for name, covariate in study.covariates.items()
    ]
    for name, endpoint in study.endpoints.items():
        event = outcomes.filter(pl.col("endpoint") == name)["event"]
        known = n - event.null_count()
        found.append(ColumnCheck(name, endpoint.type, known, n, f"{int(event.sum() or 0):,} events"))
    return found


def _values(values: pl.Series) -> str:
    """Say what a covariate's values are: the range of numbers, the most frequent levels of a category."""
    known = values.drop_nulls()
    if known.is_empty():
        return "no value at all"
    if known.dtype.is_numeric():
        low, middle, high = (float(x) for x in (known.min(), known.median(), known.max()))  # type: ignore[arg-type]
        return f"{low:g} to {high:g}, median {middle:g}"
    levels = known.alias("level").value_counts()
    counts = levels.sort("count", "level", descending=[True, False]).rows()
    shown = ", ".join(f"{level}: {n:,}" for level, n in counts[:SHOWN_LEVELS])
    return shown + (f" and {len(counts) - SHOWN_LEVELS:,} more" if len(counts) > SHOWN_LEVELS else "")


def _count_images(warehouse: Warehouse, study: Study, check: StudyCheck, *, sound_table: bool) -> None:
    key = model_key(warehouse, study)
    model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
    found = warehouse.fetch("check_study/images", **model).row(0, named=True)
    check.counts.update({name: int(n) for name, n in found.items()})
    if not check.counts["images"]:
        check.missing.append("the database holds no image yet: `spinescore run` reads those of [images]")
        return
    if study.model.imported is None:
        check.attempt(lambda: _count_pending(warehouse, study, key, check))
    if not check.counts["scored"]:
        check.missing.append(
            "no image is scored by this model yet: `spinescore run` does it; then cohorts can be counted"
        )
    if sound_table and study.subjects is not None:
        check.unmatched = unmatched_rows(warehouse)
    if sound_table and check.counts["scored"] and check.attempt(lambda: correction_method(study, key)):
        corrected = _correct(warehouse, study, key, check)
        _build_cohorts(warehouse, study, key, check, corrected=corrected)
        check.warnings.extend(_facts(check.cohorts))


def _count_pending(warehouse: Warehouse, study: Study, key: ModelKey, check: StudyCheck) -> None:
    """Count the images that a run would score.

    Raises
    ------
    IntendedUseError
        If the demonstration model would have to score images of patients.
    """
    pending = warehouse.fetch(
        "score/pending", model_id=key.model_id, preprocessing_id=key.preprocessing_id, retry=False
    )
    check.counts["pending"] = pending.height
    if check.counts["scored"] and pending.height:
        check.missing.append(
            f"{pending.height:,} images are not scored by this model yet: `spinescore run` does it; "
            "cohorts are counted without them"
        )
    n_patients = int((~pending["synthetic"]).sum())
    if n_patients and not study.model.force_demo and study_bundle(study).demonstration:
        raise IntendedUseError(
            f"model.bundle: {n_patients:,} images are not phantoms, and the model is for demonstration only: "
            "`spinescore run` would refuse them.",
            "Name a bundle trained on radiographs.",
        )


def _correct(warehouse: Warehouse, study: Study, key: ModelKey, check: StudyCheck) -> bool:
    """Fit the corrections, note on whom, kind by kind, and tell whether that went well."""
    if correction_method(study, key) == "none":
        return True
    if study.correction.file is not None:
        stated = stated_corrections(study, key)
        check.references.extend((c.kind, str(study.correction.file), c.n_reference) for c in stated)
    images = subject_images(warehouse, study, key)

    def note(kind: str, name: str) -> None:
        check.references.append((kind, name, reference_rows(images, study, kind).height))

    noted = [check.attempt(partial(note, kind, name)) for kind, name in study.correction.reference.items()]
    return all(noted) and check.attempt(lambda: calibrate(warehouse, study, key))


def _build_cohorts(
    warehouse: Warehouse, study: Study, key: ModelKey, check: StudyCheck, *, corrected: bool
) -> None:
    images = subject_images(warehouse, study, key)
    sandbox = Sandbox(images)

    def build(name: str) -> None:
        check.cohorts.append(build_cohort(warehouse, images, study, name, key, sandbox=sandbox))

    for name, section in study.analysis_cohorts().items():
        if corrected or CORRECTED not in section.where:
            check.attempt(partial(build, name))
        else:
            check.missing.append(f"cohort `{name}` asks for corrected ages: it is counted once there are any")


def _facts(cohorts: list[Cohort]) -> list[str]:
    return [
        f"{cohort.name}: {fact['n']:,} {fact['unit']} {fact['detail']}"
        for cohort in cohorts
        for fact in cohort.facts.iter_rows(named=True)
        if fact["n"]
    ]
