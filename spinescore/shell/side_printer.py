"""Charts drawn and a PDF made in a process of its own: drawing and laying out hold Python's lock.

``python -m spinescore.shell.side_printer`` reads tasks, a line of JSON each, and says ``done`` after each:
``["draw", SPECS.json, DRAWN.json]`` or ``["print", PAGE.html, FILE.pdf]``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinescore.shell.side_process import SideProcess

DONE = "done"


@dataclass(frozen=True, slots=True)
class SidePrinter:
    """A process that draws some charts, then prints a page, while this one does the others."""

    process: SideProcess
    folder: Path

    def draw(self, specs: Sequence[Mapping[str, Any]]) -> None:
        """Begin to draw Vega-Lite specifications."""
        (self.folder / "specs.json").write_text(json.dumps(specs), encoding="utf-8")
        self._begin("draw", "specs.json", "drawn.json")

    def drawn(self) -> list[str] | None:
        """Wait for the drawings, SVG in the order of their specifications; None if it failed."""
        if self.process.hear() != DONE:
            return None
        drawings: list[str] = json.loads((self.folder / "drawn.json").read_text(encoding="utf-8"))
        return drawings

    def print(self, page: str) -> None:
        """Begin to print a page."""
        (self.folder / "page.html").write_text(page, encoding="utf-8")
        self._begin("print", "page.html", "page.pdf")

    def printed(self) -> bytes:
        """Wait for the PDF.

        Raises
        ------
        OSError
            If there is none, with the last line that the process said.
        """
        failed = self.process.finish()
        if failed:
            raise OSError(failed)
        return (self.folder / "page.pdf").read_bytes()

    def _begin(self, task: str, source: str, target: str) -> None:
        self.process.tell(json.dumps([task, str(self.folder / source), str(self.folder / target)]))


@contextmanager
def printing() -> Iterator[SidePrinter]:
    """Have a printer beside what the block does; it is stopped at the block's end."""
    with (
        tempfile.TemporaryDirectory(prefix="spinescore-print-") as folder,
        SideProcess("spinescore.shell.side_printer") as process,
    ):
        yield SidePrinter(process, Path(folder))


def _draw(source: Path, target: Path) -> None:
    from spinescore.shell.render import vega_svg

    drawings = [vega_svg(spec) for spec in json.loads(source.read_text(encoding="utf-8"))]
    target.write_text(json.dumps(drawings), encoding="utf-8")


def _print(source: Path, target: Path) -> None:
    from spinescore.shell.render import render_pdf

    target.write_bytes(render_pdf(source.read_text(encoding="utf-8")))


def main() -> None:
    """Do the tasks as they come; what a page needs is imported while none is at hand."""
    for line in sys.stdin:
        task, source, target = json.loads(line)
        {"draw": _draw, "print": _print}[task](Path(source), Path(target))
        sys.stdout.write(f"{DONE}\n")
        sys.stdout.flush()
        if task == "draw":
            import weasyprint  # noqa: F401


if __name__ == "__main__":
    main()
