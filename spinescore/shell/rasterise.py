"""SVG pictures -> PNG at 300 dpi, in a process of its own: the drawing holds Python's lock for seconds.

``python -m spinescore.shell.rasterise FOLDER FONTS`` draws every ``*.svg`` of a folder beside itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spinescore.shell.resources import resource

DOTS_PER_INCH = 300
PIXELS_PER_INCH = 96  # of the page, in which a chart's width is given
POINTS_PER_INCH = 72
POLITENESS = 5
PAPER = '<rect width="100%" height="100%" fill="#ffffff"/>'


class Rasteriser:
    """A process that draws a folder's SVG files as PNG while this one does something else."""

    def __init__(self, folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "spinescore.shell.rasterise",
            str(folder),
            str(resource("templates", "fonts")),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self) -> str | None:
        """Wait for the pictures; return why there are none, or None if all were drawn."""
        _, said = self._process.communicate()
        if self._process.returncode == 0:
            return None
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"

    def stop(self) -> None:
        """End the process, if it is not done."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def rasterising(folder: Path) -> Iterator[Rasteriser]:
    """Draw a folder's SVG files as PNG beside what the block does; stopped where the block raises."""
    rasteriser = Rasteriser(folder)
    try:
        yield rasteriser
    finally:
        rasteriser.stop()


def rasterise(svg: str) -> bytes:
    """Return a picture as PNG on white, at 300 dpi on the width it has in print."""
    import vl_convert

    on_paper = re.sub(r"(<svg\b[^>]*>)", rf"\1{PAPER}", svg, count=1)
    png: bytes = vl_convert.svg_to_png(on_paper, scale=POINTS_PER_INCH / PIXELS_PER_INCH, ppi=DOTS_PER_INCH)
    return png


def main(folder: Path, fonts: Path) -> None:
    """Draw every SVG of a folder as PNG beside it."""
    import vl_convert

    os.nice(POLITENESS)  # the PDF is waited for, the pictures come with it
    vl_convert.register_font_directory(str(fonts))
    for path in sorted(folder.glob("*.svg")):
        path.with_suffix(".png").write_bytes(rasterise(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
