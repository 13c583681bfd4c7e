"""A follow-up table, and a database if there is one -> a first study file, guesses marked."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from spinescore.core.study_draft.drafting import Draft, draft_study
from spinescore.core.study_draft.people import Lookup
from spinescore.core.study_draft.situation import ImageFacts, KindFacts, Situation
from spinescore.core.table_values import require_columns
from spinescore.errors import StudyError, TableError
from spinescore.shell.cohorts import IMPORTED, imported_key
from spinescore.shell.identity import Pseudonymiser, pseudonymiser
from spinescore.shell.table_formats import FoundTable
from spinescore.shell.table_options import with_options
from spinescore.shell.tabular import find_table
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import TableLayout
from spinescore.study.problems import suggestion
from spinescore.study.reading import find_problems

DATABASE = "cohort.duckdb"
MOST_STEPS_UP = 2


@dataclass(frozen=True, slots=True)
class NewStudyRequest:
    """What a study file is drafted from, and where it goes.

    Parameters
    ----------
    table : Path
        The follow-up table.
    output : Path
        The study file to write.
    layout : TableLayout
        What is known of how the table is laid out.
    database : Path, optional
        The database; it need not exist yet.
    sources : sequence of Path
        Where the images are.
    imported : str, optional
        The name of ages computed elsewhere.
    id_column, issuer : str, optional
        The column of ids, and the IssuerOfPatientID they belong to.
    force : bool
        Replace an existing file.
    """

    table: Path
    output: Path
    layout: TableLayout = field(default_factory=TableLayout)
    database: Path | None = None
    sources: Sequence[Path] = ()
    imported: str | None = None
    id_column: str | None = None
    issuer: str | None = None
    force: bool = False


def write_new_study(request: NewStudyRequest) -> Draft:
    """Write a first study file for a follow-up table, and return it.

    Raises
    ------
    StudyError
        If the file exists already, or nothing was imported under the name given.
    TableError
        If the table cannot be read as it is said to be laid out, or has no such column.
    DatabaseError
        If the database cannot be opened, or its pseudonym key is not there.
    """
    _refuse_existing(request)
    try:
        found = find_table(request.table, request.layout)
        if request.id_column is not None:
            require_columns({request.id_column: "--id"}, found.rows, str(request.table))
    except TableError as error:
        raise with_options(error) from None
    if request.database is not None and request.database.exists():
        with open_warehouse(request.database) as warehouse:
            facts = _image_facts(warehouse, request)
            draft = _draft(request, found, facts, _lookup(warehouse, facts, request))
    else:
        draft = _draft(request, found, None, None)
    problems = find_problems(tomllib.loads(draft.text))
    if problems:
        raise StudyError(
            f"No valid study file could be drafted: {'; '.join(map(str, problems))}.",
            "Begin with examples/omop/study.toml instead.",
        )
    _write(draft.text, request)
    return draft


def _refuse_existing(request: NewStudyRequest) -> None:
    if request.output.exists() and not request.force:
        raise StudyError(
            f"{request.output} exists already.", "Name another file, or add --force to replace it."
        )
    if not request.output.parent.is_dir():
        raise StudyError(f"{request.output.parent} is no folder.", "Make it, or name another file.")


def _draft(
    request: NewStudyRequest, found: FoundTable, facts: ImageFacts | None, lookup: Lookup | None
) -> Draft:
    folder = request.output.resolve().parent
    situation = Situation(
        table_name=_written(request.table, folder),
        database_name=_written(request.database, folder) if request.database else DATABASE,
        layout=request.layout.model_dump(exclude_unset=True, exclude_none=True),
        detected=found.detected,
        delimiter=found.delimiter,
        sources=[_written(source, folder) for source in request.sources],
        imported=request.imported,
        issuer=request.issuer,
        facts=facts,
    )
    return draft_study(
        found.rows, situation, labels=found.value_labels, lookup=lookup, id_column=request.id_column
    )


def _written(path: Path, folder: Path) -> str:
    """Return a path as the study file has it: from its own folder, unless that is far away."""
    relative = os.path.relpath(path.resolve(), folder)
    far = Path(relative).parts[: MOST_STEPS_UP + 1] == ("..",) * (MOST_STEPS_UP + 1)
    text = (path.resolve() if far else Path(relative)).as_posix()
    if not text.isprintable():  # bytes that are no text either
        raise TableError(f"{path} has a name that a study file cannot hold.", "Rename it.")
    return text


def _image_facts(warehouse: Warehouse, request: NewStudyRequest) -> ImageFacts:
    models = warehouse.fetch("scores/models", imported=IMPORTED)
    imported = models.filter(pl.col("is_imported"))["name"].to_list()
    scored = models.filter(~pl.col("is_imported"))["name"].to_list()
    if request.imported is not None and request.imported not in imported:
        raise StudyError(
            f"Nothing is imported as `{request.imported}` in {request.database}; "
            f"{suggestion(request.imported, imported)}.",
            "Import the ages first: spinescore scores import.",
        )
    facts = ImageFacts(_kinds(warehouse, request.imported), scored, imported, _sources(warehouse, request))
    if request.imported is None and not facts.kinds and len(imported) == 1:
        return ImageFacts(_kinds(warehouse, imported[0]), scored, imported)
    return facts


def _sources(warehouse: Warehouse, request: NewStudyRequest) -> list[str]:
    """Return what was ingested and is still there.

    Sources were stored as they were given: a relative one is only known again where files are known below it.
    """
    named = [Path(place) for place in warehouse.fetch("new_study/sources")["place"]]
    there = [path for path in named if path.exists() and str(path).isprintable()]
    beginnings = [os.path.abspath(path) for path in there]  # noqa: PTH100 - links stay as they are, as in files
    places = pl.DataFrame({"position": range(len(there)), "beginning": beginnings})
    holding = warehouse.fetch("new_study/holding_files", places=places)["position"] if there else ()
    folder = request.output.resolve().parent
    return list(dict.fromkeys(_written(there[position], folder) for position in holding))


def _kinds(warehouse: Warehouse, imported: str | None) -> list[KindFacts]:
    model_id = imported_key(imported).model_id if imported is not None else None
    return [KindFacts(**row) for row in warehouse.fetch("new_study/kinds", model_id=model_id).to_dicts()]


def _lookup(warehouse: Warehouse, facts: ImageFacts, request: NewStudyRequest) -> Lookup | None:
    """Return what finds ids among the database's subjects; None if it has none."""
    if not facts.kinds:
        return None
    subjects = warehouse.fetch("new_study/subjects").with_columns(pl.lit(value=True).alias("known"))
    identify: Pseudonymiser = pseudonymiser(warehouse)

    def look_up(ids: pl.Series) -> pl.DataFrame:
        names = pl.Series("subject_id", [identify(i or "", request.issuer) for i in ids], dtype=pl.String)
        joined = names.to_frame().join(subjects, on="subject_id", how="left", maintain_order="left")
        return joined.select(pl.col("known").fill_null(value=False), "sex", "age_years")

    return look_up


def _write(text: str, request: NewStudyRequest) -> None:
    """Write beside the file first: it appears whole or not at all, and only over another by --force."""
    output = request.output
    try:
        with tempfile.TemporaryDirectory(prefix=".study-", dir=output.parent) as staging:
            staged = Path(staging) / "study.toml"
            staged.write_text(text, encoding="utf-8")
            if request.force:
                os.replace(staged, output)  # noqa: PTH105 - atomic on one file system
            else:
                _link(staged, output)
    except FileExistsError:
        raise StudyError(f"{output} exists already.", "Name another file, or add --force.") from None
    except OSError as error:
        raise StudyError(f"{output} cannot be written: {error.strerror}.", "Name another file.") from None


def _link(staged: Path, output: Path) -> None:
    """Give a file its name unless that has come into being meanwhile."""
    try:
        os.link(staged, output)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if output.exists():
            raise FileExistsError from None
        staged.rename(output)
