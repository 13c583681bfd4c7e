"""A PDF made in a process of its own, beside what this one does: laying out pages holds Python's lock.

``python -m spinescore.shell.second_pdf PAGE.html FILE.pdf`` writes one file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def printing(page: str) -> Iterator[PagePrinter]:
    """Print a page beside what the block does; stopped where the block raises."""
    with tempfile.TemporaryDirectory(prefix="spinescore-print-") as folder:
        printer = PagePrinter(Path(folder), page)
        try:
            yield printer
        finally:
            printer.stop()


class PagePrinter:
    """A process that prints one page as PDF."""

    def __init__(self, folder: Path, page: str) -> None:
        source, self._target = folder / "page.html", folder / "page.pdf"
        source.write_text(page, encoding="utf-8")
        command = [sys.executable, "-m", "spinescore.shell.second_pdf", str(source), str(self._target)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self) -> bytes:
        """Wait for the PDF.

        Raises
        ------
        OSError
            If there is none, with the last line that the process said.
        """
        _, said = self._process.communicate()
        if self._process.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise OSError(lines[-1] if lines else f"exit status {self._process.returncode}")
        return self._target.read_bytes()

    def stop(self) -> None:
        """End the process, if it is not done."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


if __name__ == "__main__":
    from spinescore.shell.render import render_pdf

    Path(sys.argv[2]).write_bytes(render_pdf(Path(sys.argv[1]).read_text(encoding="utf-8")))
