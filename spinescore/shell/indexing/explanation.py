"""One file -> why it is or is not ours: its tags, the rules tried on them, and the decision."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from spinescore.core.eligibility.rule_set import RuleSet, Step
from spinescore.core.imaging.character_set import decode_text
from spinescore.core.imaging.element_walker import (
    AFTER_WANTED,
    CODE_TAGS,
    FIRST_WINDOW,
    NUMBER_TAGS,
    TEXT_TAGS,
    ElementWalker,
    OddFileError,
)
from spinescore.core.imaging.header import CHARACTER_SET, HeaderReader, Reading, eligibility_fields
from spinescore.errors import DecodingError, SourceError
from spinescore.shell.archive.locations import (
    SEPARATOR,
    Candidate,
    display_path,
    open_location,
    stat_location,
)
from spinescore.shell.archive.sources import find_candidates
from spinescore.shell.identity import Pseudonymiser
from spinescore.shell.indexing.encoding import read_header
from spinescore.shell.indexing.intake import BAD_HEADER, elements_of, read_candidate

PERSONAL = frozenset({"PatientID", "PatientBirthDate"})
KEYWORDS = {**TEXT_TAGS, **NUMBER_TAGS, **CODE_TAGS}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a file came to, and how.

    Parameters
    ----------
    path : str
    parser : str
        ``fast`` or ``pydicom``, and why the fast one handed the file over.
    tags : tuple of (tag, keyword, text)
        What the index reads of the header; personal values are only counted.
    steps : tuple of Step
        Every eligibility rule tried; the last one that held decided.
    reading : Reading
        State, reason, flags and the image as it would be indexed.
    """

    path: str
    parser: str
    tags: tuple[tuple[str, str, str], ...]
    steps: tuple[Step, ...]
    reading: Reading


def explain_file(path: Path, rules: RuleSet) -> Explanation:
    """Read one file as ``ingest`` would and keep every step; nothing is stored.

    Parameters
    ----------
    path : Path
        A file, or a member of an archive as ``archive.zip!/member``.
    rules : RuleSet

    Raises
    ------
    SourceError
        If there is no such file or member.
    """
    candidate = _candidate(path)
    reading = read_candidate(candidate, HeaderReader(rules, Pseudonymiser(None)))
    elements: dict[int, bytes] = {}
    parser = "none"
    if candidate.refusal is None and reading.reason != "not_dicom":
        elements, parser = _elements(candidate)
    steps = rules.explain(eligibility_fields(elements)) if reading.fields is not None else ()
    return Explanation(candidate.path, parser, _tags(elements), steps, reading)


def _candidate(path: Path) -> Candidate:
    location = os.fsencode(path)
    archive, mark, member = location.partition(b"!/")
    if mark and not path.exists():
        location = os.path.realpath(archive) + SEPARATOR + member
        try:
            return Candidate(location, *stat_location(location))
        except (OSError, DecodingError):
            names = f"{display_path(member)} in {display_path(archive)}"
            raise SourceError(f"There is no {names}.", "Check both names.") from None
    if path.is_dir():
        raise SourceError(f"{path} is a folder.", "Name one file to explain.")
    return next(find_candidates([path]))


def _elements(candidate: Candidate) -> tuple[dict[int, bytes], str]:
    """Return a file's elements and the parser that read them."""
    try:
        with open_location(candidate.path_bytes) as handle:
            head = handle.read(FIRST_WINDOW)

            def read_at(offset: int, length: int) -> bytes:
                handle.seek(offset)
                return handle.read(length)

            walker = ElementWalker(read_at, candidate.size_bytes)
            try:
                walker.begin(head)
                walker.walk(head, 0, AFTER_WANTED)
                return walker.found, "fast"
            except OddFileError as odd:
                handle.seek(0)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    dataset = read_header(handle)
                    return elements_of(dataset), f"pydicom ({odd})"
    except (*BAD_HEADER, DecodingError, OSError, EOFError, RecursionError, MemoryError) as error:
        return {}, f"none could ({type(error).__name__})"


def _tags(elements: dict[int, bytes]) -> tuple[tuple[str, str, str], ...]:
    character_set = elements.get(CHARACTER_SET, b"")
    rows = []
    for tag, value in sorted(elements.items()):
        keyword = KEYWORDS.get(tag)
        if keyword is None:
            continue
        if tag in NUMBER_TAGS:
            text = str(int.from_bytes(value, "little"))
        else:
            text = decode_text(value, character_set)[0]
        if keyword in PERSONAL and text:
            text = f"({len(text)} characters, not shown)"
        rows.append((f"({tag >> 16:04X},{tag & 0xFFFF:04X})", keyword, text))
    return tuple(rows)
