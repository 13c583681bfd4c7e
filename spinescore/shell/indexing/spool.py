"""Values that wait their turn on disk, so that memory does not grow with the archive."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Spool(Generic[Value]):
    """A file without a name that holds values: written first, then read in the same order."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - the spool is the context manager
        self.n_values = 0

    def __enter__(self) -> Spool[Value]:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()

    def append(self, value: Value) -> None:
        """Put a value at the end."""
        pickle.dump(value, self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self.n_values += 1

    def __iter__(self) -> Iterator[Value]:
        self._file.seek(0)
        for _ in range(self.n_values):
            yield pickle.load(self._file)  # our own file, that has no name
