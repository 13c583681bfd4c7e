"""[run]: what `spinescore run` does besides, unattended."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spinescore.study.sections import File, NotNegative, Positive, Section, Text

Command = Annotated[tuple[Text, ...], Field(min_length=1)]


class RunSection(Section):
    """[run]: what an unattended run does besides; nothing here changes a number."""

    wait_minutes: NotNegative = Field(
        default=0, description="How long to wait for a database that another process holds; 0: not at all."
    )
    summary: File | None = Field(default=None, description="JSON file in which each run is summed up.")
    log: File | None = Field(default=None, description="File to which each run appends JSON lines.")
    on_success: Command | None = Field(
        default=None,
        description="A program and its arguments, run after exit status 0 or 3, without a shell.",
    )
    on_failure: Command | None = Field(
        default=None,
        description="Likewise after any other exit status; SPINESCORE_SUMMARY names the summary.",
    )
    command_seconds: Positive = Field(default=60, description="How long such a program may take.")
    snapshot: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="A copy of the database after each stage, for readers while a run holds it; auto: up to "
        "256 MB.",
    )
