"""A TOML page as it is written: keys with the reasons they were guessed for, and what is left to decide."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from spinescore.core.study_draft.spoken import padded, plain, width

LINE = 110
REMARK_COLUMN = 44


@dataclass(slots=True)
class Page:
    """Lines of TOML, and on which of them there is something to check or to decide.

    Attributes
    ----------
    lines : list of str
        What was written.
    guesses, decisions : list of (int, str)
        Number of the line (the first is 1) and what it is about.
    """

    lines: list[str] = field(default_factory=list)
    guesses: list[tuple[int, str]] = field(default_factory=list)
    decisions: list[tuple[int, str]] = field(default_factory=list)
    section: str = ""

    def header(self, name: str, *, commented: bool = False) -> None:
        """Open a section, after an empty line unless a remark has just been made about it."""
        self.section = name
        self.lines.append(f"{'# ' if commented else ''}[{name}]")

    def gap(self) -> None:
        """Leave a line empty."""
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def remark(self, text: str) -> None:
        """Write a comment on lines of its own."""
        self.lines += [f"# {line}" for line in textwrap.wrap(plain(text), LINE - 2, break_on_hyphens=False)]

    def pair(self, key: str, value: str, remark: str = "", *, commented: bool = False) -> None:
        """Write a key, with a remark behind it or, if that is long, above it."""
        line = f"{'# ' if commented else ''}{key} = {value}"
        behind = f"{padded(line, REMARK_COLUMN)}  # {plain(remark)}" if remark else line
        if width(behind) > LINE:
            self.remark(remark)
            behind = line
        self.lines.append(behind)

    def guess(self, key: str, value: str, why: str, *, commented: bool = False) -> None:
        """Write a key that was guessed, and why."""
        self.pair(key, value, f"GUESS: {why}", commented=commented)
        if not commented:
            self.guesses.append((len(self.lines), f"{self.section}.{key}"))

    def decide(self, question: str, about: str = "") -> None:
        """Write a question that only the user can answer; what it is about stands below, commented out."""
        self.decisions.append((len(self.lines) + 1, about or question))
        self.remark(f"DECIDE: {question}")
