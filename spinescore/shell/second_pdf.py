"""A PDF made in a process of its own, beside what this one does: laying out pages holds Python's lock.

``python -m spinescore.shell.second_pdf PAGE.html FILE.pdf`` writes one file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spinescore.shell.side_process import SideProcess


@dataclass(frozen=True, slots=True)
class PagePrinter:
    """A process that prints one page as PDF."""

    process: SideProcess
    target: Path

    def finish(self) -> bytes:
        """Wait for the PDF.

        Raises
        ------
        OSError
            If there is none, with the last line that the process said.
        """
        failed = self.process.finish()
        if failed:
            raise OSError(failed)
        return self.target.read_bytes()


@contextmanager
def printing(page: str) -> Iterator[PagePrinter]:
    """Print a page beside what the block does; stopped where the block raises."""
    with tempfile.TemporaryDirectory(prefix="spinescore-print-") as folder:
        source, target = Path(folder) / "page.html", Path(folder) / "page.pdf"
        source.write_text(page, encoding="utf-8")
        with SideProcess("spinescore.shell.second_pdf", str(source), str(target)) as process:
            yield PagePrinter(process, target)


if __name__ == "__main__":
    from spinescore.shell.render import render_pdf

    Path(sys.argv[2]).write_bytes(render_pdf(Path(sys.argv[1]).read_text(encoding="utf-8")))
