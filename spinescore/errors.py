"""The one exception family: what went wrong, where, and what to do next.

Everything below ``cli/`` raises these; only ``cli/`` turns them into a line on
the terminal and an exit status.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST_FAULT = 200
QUOTED = re.compile(r"""(?<!\w)b?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def describe_fault(error: BaseException) -> str:
    """Return kind and message of another library's error without what it quotes: that may be a patient's.

    >>> describe_fault(ValueError("could not convert string to float: 'DOE^JANE'"))
    'ValueError: could not convert string to float: ...'
    """
    lines = QUOTED.sub("...", str(error)).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:LONGEST_FAULT]


class SpineScoreError(Exception):
    """Base of every error spinescore raises on purpose.

    Parameters
    ----------
    message : str
        What went wrong and where, in one sentence.
    next_step : str
        What the user can do about it, in one sentence.
    """

    slug = "error"
    exit_status = 1

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


class SourceError(SpineScoreError):
    """An image source that is missing or holds nothing to read."""

    slug = "source"


class DatabaseError(SpineScoreError):
    """A database that is missing, foreign, newer than us or keyed otherwise."""

    slug = "database"


class DatabaseLockedError(DatabaseError):
    """Another process holds the database."""

    slug = "database-locked"
    exit_status = 5


class StorageError(SpineScoreError):
    """A disk that is full, forbidden or broken under what is being written."""

    slug = "storage"


class RulesError(SpineScoreError):
    """An eligibility rule file that does not say what it should.

    Parameters
    ----------
    where : str
        The file.
    problems : sequence of str
        Everything wrong with it, not only the first.
    """

    slug = "rules"

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        super().__init__(f"{where}: " + "; ".join(problems) + ".", "docs/eligibility.md has the format.")
        self.problems = tuple(problems)


class BundleError(SpineScoreError):
    """A model bundle that is missing, altered or malformed."""

    slug = "bundle"


class CheckpointError(SpineScoreError):
    """A checkpoint that is no spine age network, or that cannot be read safely.

    Parameters
    ----------
    reason : str
        A code: ``code``, ``truncated``, ``shape``, ``not_finite`` ... (docs/model-import.md lists them).
    message, next_step : str
        As of every error.
    """

    slug = "checkpoint"

    def __init__(self, reason: str, message: str, next_step: str = "") -> None:
        super().__init__(message, next_step)
        self.reason = reason


class IntendedUseError(SpineScoreError):
    """A model asked to score what it was not made for."""

    slug = "intended-use"


class StudyError(SpineScoreError):
    """A study file that does not say what it should; names the key."""

    slug = "study"


class LanguageError(SpineScoreError):
    """A language that no report can be written in."""

    slug = "language"


class TableError(SpineScoreError):
    """A follow-up table that cannot be read as declared."""

    slug = "table"


class CorrectionError(SpineScoreError):
    """A bias correction that cannot be fitted or must not be applied."""

    slug = "correction"


class AnalysisError(SpineScoreError):
    """A cohort or result that an analysis needs and does not find."""

    slug = "analysis"


class DisclosureError(SpineScoreError):
    """A shareable report from which a person could be told, or that holds an identifier."""

    slug = "disclosure"


class DecodingError(SpineScoreError):
    """A file whose pixels cannot be had; ``reason`` is the state code.

    Parameters
    ----------
    reason : str
        One of the reason codes of ``files.reason`` (``truncated``, ``photometric`` ...).
    message : str
        What was found.
    """

    slug = "decoding"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ArchiveError(DecodingError):
    """An archive, or a member of one, that cannot be read; ``reason`` is the state code.

    Reasons: ``archive_damaged``, ``encrypted``, ``inflate_limit``.
    """

    slug = "archive"


class ExportError(SpineScoreError):
    """A folder that de-identified copies cannot go to."""

    slug = "export"


class CopyRefusedError(SpineScoreError):
    """An image of which no de-identified copy is made; ``reason`` is a code, without identifiers."""

    slug = "copy-refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WorkerStartError(SpineScoreError):
    """Worker processes that die before they can begin."""

    slug = "worker-start"


class DeviceError(SpineScoreError):
    """A processor or GPU that is not there, does not work, or cannot do what was asked."""

    slug = "device"


class DeviceMemoryError(DeviceError):
    """A GPU with too little free memory for one image."""

    slug = "device-memory"


class EngineError(SpineScoreError):
    """A cluster that is not there, or whose nodes cannot score."""

    slug = "engine"


class TrainingError(SpineScoreError):
    """A training run that cannot start or resume."""

    slug = "training"


class RecalibrationError(SpineScoreError):
    """An age distribution whose temperature cannot be fitted."""

    slug = "recalibration"


class TraceError(SpineScoreError):
    """A number that is not there, or whose origin cannot be told any more."""

    slug = "trace"


class HistoryError(SpineScoreError):
    """Runs that are not there, or cannot be compared."""

    slug = "history"


class ScheduleError(SpineScoreError):
    """A schedule that cannot be read, written or understood."""

    slug = "schedule"
