"""Which patient ids are which subject of the follow-up table, and why ids that should match do not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import polars as pl

from spinescore.core.table_ids import check_ids, is_empty, read_ids
from spinescore.core.table_values import Findings, how_written, known_text, require_columns
from spinescore.study import LinkageSection

Identify = Callable[[str, str | None], str]
LONGEST_PADDING = 16
PSEUDONYM = re.compile(r"^[0-9a-f]{32}$")
DIAGNOSED_IDS = 20_000


class Links(NamedTuple):
    """A linkage table as it was read.

    Attributes
    ----------
    rows : polars.DataFrame
        ``image_subject_id, subject_id``: pseudonyms of a PatientID and of the follow-up table's id.
    patient_ids : polars.Series
        The PatientIDs as text; for messages, never stored.
    warnings : tuple of str
        What was accepted but should be looked at.
    """

    rows: pl.DataFrame
    patient_ids: pl.Series
    warnings: tuple[str, ...]


def read_links(
    table: pl.DataFrame,
    section: LinkageSection,
    identify: Identify,
    *,
    issuer: str | None = None,
    id_width: int | None = None,
) -> Links:
    """Return which PatientID is which subject of the follow-up table.

    Parameters
    ----------
    table : polars.DataFrame
        The linkage table, one row per PatientID.
    section : LinkageSection
        Names its columns.
    identify : callable
        ``(id, issuer) -> subject_id``, the same as at ingest.
    issuer, id_width
        What ``[subjects]`` says of the follow-up table's ids.

    Raises
    ------
    TableError
        If a column or an id is missing, or one PatientID is given to two ids of the follow-up table.
    """
    file = str(section.file)
    wanted = {section.table_id: "linkage.table_id", section.image_id: "linkage.image_id"}
    require_columns(wanted | ({section.issuer: "linkage.issuer"} if section.issuer else {}), table, file)
    theirs = Findings(read_ids(table[section.table_id], id_width))
    check_ids(table[section.table_id], id_width, theirs)
    found = Findings(read_ids(table[section.image_id], None), theirs.problems, {}, theirs.warnings)
    check_ids(table[section.image_id], None, found)
    issuers = known_text(table[section.issuer]) if section.issuer else [None] * table.height
    pairs = pl.DataFrame(
        {
            "image_subject_id": [
                identify(value or "", of) for value, of in zip(found.ids, issuers, strict=True)
            ],
            "subject_id": [identify(value or "", issuer) for value in theirs.ids],
        },
        schema=dict.fromkeys(("image_subject_id", "subject_id"), pl.String),
    )
    _refuse_shared(pairs, section, found)
    found.raise_problems(file)
    rows = pairs.unique(maintain_order=True)
    if rows.height < pairs.height:
        found.warnings.append(f"{file}: {pairs.height - rows.height:,} row(s) say again what another says")
    return Links(rows, found.ids, tuple(found.warnings))


def _refuse_shared(pairs: pl.DataFrame, section: LinkageSection, findings: Findings) -> None:
    several = (pl.col("subject_id").n_unique() > 1).over("image_subject_id")
    shared = pairs.select(several).to_series() & ~is_empty(findings.ids)
    n_shared = pairs.filter(shared)["image_subject_id"].n_unique()
    findings.refuse(
        shared,
        f"column `{section.image_id}` gives {n_shared:,} PatientID(s) to several ids of `{section.table_id}`",
        "One PatientID is one subject; keep the right row of each.",
    )


def explain_mismatch(
    ids: pl.Series, known: pl.Series, identify: Identify, issuer: str | None
) -> list[tuple[int, str]]:
    """Return how many ids would match under another rule, and what to do then, most first.

    Parameters
    ----------
    ids : polars.Series
        Ids of a table that match no image, as text; of very many, the first are tried.
    known : polars.Series
        The subject ids of the images.
    identify : callable
        ``(id, issuer) -> subject_id``.
    issuer : str or None
        The declared issuer.
    """
    tried = ids.unique(maintain_order=True).head(DIAGNOSED_IDS).to_list()
    subjects = set(known.to_list())
    already = sum(1 for value in tried if PSEUDONYM.match(value) and value in subjects)
    found = [(already, "are subject ids of this database already; a follow-up table names patient ids")]
    for hint, change in _other_rules(tried):
        matching = sum(1 for value in tried if identify(change(value), issuer) in subjects)
        found.append((matching, hint))
    if issuer is not None:
        matching = sum(1 for value in tried if identify(value, None) in subjects)
        found.append((matching, "would without an issuer: drop `issuer` under [subjects]"))
    return sorted((pair for pair in found if pair[0]), key=lambda pair: -pair[0])


def _other_rules(ids: list[str]) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yield other ways to write an id, each with what it would take."""
    yield (
        "would with leading zeros removed: the images' PatientIDs have none, so mend the table's ids",
        lambda value: value.lstrip("0"),
    )
    shortest = min((len(value) for value in ids if value.isdigit()), default=LONGEST_PADDING)
    for width in range(shortest + 1, LONGEST_PADDING + 1):
        yield (
            f"would with leading zeros to {width} digits: say `id_width = {width}` under [subjects]",
            lambda value, width=width: value.zfill(width) if value.isdigit() else value,  # type: ignore[misc]
        )
    written: Mapping[str, Callable[[str], str]] = {
        "in lower case": str.lower,
        "in upper case": str.upper,
        "without blanks and hyphens": lambda value: re.sub(r"[\s-]", "", value),
        "without what follows the last point": lambda value: value.rpartition(".")[0] or value,
    }
    for how, change in written.items():
        yield f"would {how}: write the table's ids as the images' PatientIDs are", change


def id_shapes(ids: pl.Series) -> str:
    """Describe how ids are written without repeating one: 9 stands for a digit, A for a letter.

    >>> id_shapes(pl.Series(["0012", "A-7", "0013"]))
    '9999 (2), A-9 (1)'
    """
    shapes = how_written(ids).alias("shape")
    counts = shapes.to_frame().group_by("shape").len().sort(pl.col("len"), "shape", descending=[True, False])
    return ", ".join(f"{shape} ({n:,})" for shape, n in counts.head(3).iter_rows())
