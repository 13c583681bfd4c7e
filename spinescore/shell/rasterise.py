"""SVG pictures -> PNG at 300 dpi, in a process of its own: the drawing holds Python's lock for seconds.

``python -m spinescore.shell.rasterise FOLDER FONTS`` draws every ``*.svg`` of a folder beside itself.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from spinescore.shell.resources import resource
from spinescore.shell.side_process import SideProcess

DOTS_PER_INCH = 300
PIXELS_PER_INCH = 96  # of the page, in which a chart's width is given
POINTS_PER_INCH = 72
POLITENESS = 5
PAPER = '<rect width="100%" height="100%" fill="#ffffff"/>'


def rasterising(folder: Path) -> SideProcess:
    """Draw a folder's SVG files as PNG beside what a ``with`` block does; stopped where the block raises."""
    return SideProcess("spinescore.shell.rasterise", str(folder), str(resource("templates", "fonts")))


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
