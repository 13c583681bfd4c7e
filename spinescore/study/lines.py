"""The text of a TOML file -> the line on which each of its keys stands.

The text has been read by tomllib before: what is scanned here is known to be valid, so only as much of the
grammar is followed as it takes to tell keys from values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

Key = tuple[str | int, ...]
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'", re.DOTALL
)
BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
SPACE = re.compile(r"[ \t]*")
SCALAR = re.compile(r"[^,\]}#\r\n]+")


def locate(text: str) -> Mapping[Key, int]:
    """Return the line (the first is 1) of every key, by its path; elements of arrays are numbered from 0.

    A table that is only implied by longer names has the line of the first of them.

    >>> locate('[a.b]\\nc = [\\n  { d = 1 },\\n]')[("a", "b", "c", 0, "d")]
    3
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


def line_of(lines: Mapping[Key, int], path: Key) -> int:
    """Return the line of a path, or of the nearest part of the file that would hold it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    """Walks through a TOML text once, noting where keys stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self.lines: dict[Key, int] = {}
        self.table_counts: dict[Key, int] = {}

    def scan(self) -> dict[Key, int]:
        table: Key = ()
        self._skip(BLANK)
        while self.position < len(self.text):
            before = self.position
            if self._peek("[["):
                table = self._array_header()
            elif self._peek("["):
                self._step(1)
                table = self._current(self._key())
                self._note(table)
                self.lines[table] = self.line  # rather than where a longer name implied it
                self._step(1)
            else:
                self._pair(table)
            self._skip(BLANK)
            if self.position == before:  # not valid after all: end all the same
                self._step(1)
        return self.lines

    def _array_header(self) -> Key:
        self._step(2)
        key = self._key()
        parent = (*self._current(key[:-1]), key[-1])
        number = self.table_counts.get(parent, 0)
        self.table_counts[parent] = number + 1
        self._note(parent)
        self._note((*parent, number))
        self._step(2)
        return (*parent, number)

    def _current(self, key: tuple[str, ...]) -> Key:
        """Return a header's path with the number of the latest element of each array of tables in it."""
        path: Key = ()
        for part in key:
            path = (*path, part)
            if path in self.table_counts:
                path = (*path, self.table_counts[path] - 1)
        return path

    def _pair(self, table: Key) -> None:
        path = (*table, *self._key())
        self._note(path, beneath=len(table))
        self._step(1)  # the equals sign
        self._value(path)

    def _value(self, path: Key) -> None:
        self._skip(SPACE)
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        elif self._peek('"') or self._peek("'"):
            self._skip(STRING)
        else:
            self._skip(SCALAR)

    def _array(self, path: Key) -> None:
        self._step(1)
        number = 0
        while not self._closes("]"):
            self.lines.setdefault((*path, number), self.line)
            self._value((*path, number))
            number += 1
            self._comma()

    def _inline_table(self, path: Key) -> None:
        self._step(1)
        while not self._closes("}"):
            self._pair(path)
            self._comma()

    def _closes(self, bracket: str) -> bool:
        self._skip(BLANK)
        if self.position >= len(self.text):
            return True
        if not self._peek(bracket):
            return False
        self._step(1)
        return True

    def _comma(self) -> None:
        self._skip(BLANK)
        if self._peek(","):
            self._step(1)

    def _key(self) -> tuple[str, ...]:
        parts = [self._key_part()]
        while self._peek("."):
            self._step(1)
            parts.append(self._key_part())
        return tuple(parts)

    def _key_part(self) -> str:
        self._skip(SPACE)
        quoted = self._peek('"') or self._peek("'")
        text = self._skip(STRING if quoted else BARE_KEY)
        self._skip(SPACE)
        return str(tomllib.loads(f"k = {text}")["k"]) if quoted and text else text

    def _note(self, path: Key, beneath: int = 0) -> None:
        """Note a path, and what is implied by it below a table that has been noted."""
        for length in range(beneath + 1, len(path) + 1):
            self.lines.setdefault(path[:length], self.line)

    def _peek(self, mark: str) -> bool:
        return self.text.startswith(mark, self.position)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        found = match.group() if match else ""
        self._step(len(found))
        return found

    def _step(self, n: int) -> None:
        self.line += self.text.count("\n", self.position, self.position + n)
        self.position += n
