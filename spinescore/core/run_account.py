"""What a run did, as one document for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spinescore.domain import StageSummary

FORMAT = 1
EXIT_DONE, EXIT_FAILED, EXIT_PARTIAL, EXIT_DRIFT, EXIT_LOCKED, EXIT_INTERRUPTED = 0, 1, 3, 4, 5, 130
OUTCOMES = {
    EXIT_DONE: "done",
    EXIT_FAILED: "failed",
    EXIT_PARTIAL: "some images failed",
    EXIT_DRIFT: "drift beyond its threshold",
    EXIT_LOCKED: "locked",
    EXIT_INTERRUPTED: "interrupted",
}
SUCCESSES = (EXIT_DONE, EXIT_PARTIAL)


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run: the stage it was in, the kind of error, and what to do next."""

    stage: str
    slug: str
    message: str
    next_step: str
    exit_status: int


@dataclass(slots=True, kw_only=True)
class RunAccount:
    """A run as it is summed up; filled in as it goes.

    Parameters
    ----------
    identity : mapping
        ``version, study_file, study, database, report, host, pid``.
    started_at, ended_at : str
        ISO 8601, UTC.
    seconds : float
    stages : list of (StageSummary, float)
        What each stage did, and its seconds.
    failure : Failure or None
    failures : sequence of mappings
        ``what`` (file or image), ``reason``, ``n``: all that the database holds for this model.
    since_last_run : mapping or None
        What ``compare_with_last_run`` found; None where the run did not end.
    drift : sequence of mappings
        What was compared with the reference, and whether it is beyond its threshold.
    warnings : list of str
    commands : list of mappings
        ``when, program, outcome`` of what was started at the end.
    """

    identity: Mapping[str, Any]
    started_at: str
    ended_at: str = ""
    seconds: float = 0.0
    stages: list[tuple[StageSummary, float]] = field(default_factory=list)
    failure: Failure | None = None
    failures: Sequence[Mapping[str, Any]] = ()
    since_last_run: Mapping[str, Any] | None = None
    drift: Sequence[Mapping[str, Any]] = ()
    warnings: list[str] = field(default_factory=list)
    commands: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether any stage had something to do."""
        return any(stage.changed for stage, _ in self.stages)

    @property
    def exit_status(self) -> int:
        """How the run ended; drift is said before failed images, which may be there for good."""
        if self.failure is not None:
            return self.failure.exit_status
        if any(row["beyond"] for row in self.drift):
            return EXIT_DRIFT
        return EXIT_PARTIAL if any(stage.partial for stage, _ in self.stages) else EXIT_DONE

    @property
    def succeeded(self) -> bool:
        """Whether nobody needs to look: all done, or some images failed, which the report lists."""
        return self.exit_status in SUCCESSES

    def as_document(self) -> dict[str, Any]:
        """Return it as what is written to the summary."""
        failure = self.failure
        return {
            "format": FORMAT,
            **self.identity,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "seconds": round(self.seconds, 3),
            "exit_status": self.exit_status,
            "outcome": OUTCOMES.get(self.exit_status, "failed"),
            "error": None
            if failure is None
            else {
                "stage": failure.stage,
                "slug": failure.slug,
                "message": failure.message,
                "next_step": failure.next_step,
            },
            "changed": self.changed,
            "stages": [
                {
                    "stage": stage.stage,
                    "changed": stage.changed,
                    "seconds": round(seconds, 3),
                    "message": stage.message,
                    "counts": dict(stage.counts),
                    "warnings": list(stage.warnings),
                }
                for stage, seconds in self.stages
            ],
            "failures": [dict(row) for row in self.failures],
            "since_last_run": self.since_last_run,
            "drift": [dict(row) for row in self.drift],
            "warnings": self.warnings,
            "commands": [dict(row) for row in self.commands],
        }
