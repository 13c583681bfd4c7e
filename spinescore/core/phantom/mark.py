"""Letters as bitmaps, and the burned-in word that every phantom image carries, the same in all of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GLYPHS = {
    "P": ("####.", "#...#", "#...#", "####.", "#....", "#....", "#...."),
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "A": (".###.", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "N": ("#...#", "##..#", "#.#.#", "#.#.#", "#..##", "#...#", "#...#"),
    "T": ("#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."),
    "O": (".###.", "#...#", "#...#", "#...#", "#...#", "#...#", ".###."),
    "M": ("#...#", "##.##", "#.#.#", "#.#.#", "#...#", "#...#", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    " ": (".....", ".....", ".....", ".....", ".....", ".....", "....."),
    "1": ("..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."),
    "2": (".###.", "#...#", "....#", "...#.", "..#..", ".#...", "#####"),
    "3": (".###.", "#...#", "....#", "..##.", "....#", "#...#", ".###."),
    "4": ("...#.", "..##.", ".#.#.", "#..#.", "#####", "...#.", "...#."),
    "5": ("#####", "#....", "####.", "....#", "....#", "#...#", ".###."),
    "6": (".###.", "#....", "#....", "####.", "#...#", "#...#", ".###."),
    "7": ("#####", "....#", "...#.", "..#..", "..#..", ".#...", ".#..."),
    "8": (".###.", "#...#", "#...#", ".###.", "#...#", "#...#", ".###."),
    "9": (".###.", "#...#", "#...#", ".####", "....#", "....#", ".###."),
}
WORD = "PHANTOM"
PIXELS_PER_LINE = 520  # image rows for each pixel of a glyph's stroke


def draw_text(text: str) -> npt.NDArray[np.bool_]:
    """Return a line of letters, seven dots high, lit where a stroke runs."""
    lines = [".".join(GLYPHS[letter][i] for letter in text) for i in range(7)]
    return np.array([[dot == "#" for dot in line] for line in lines])


def draw_mark(rows: int) -> npt.NDArray[np.bool_]:
    """Return the mark's bitmap for an image of that many rows: lit strokes on a dark box.

    >>> draw_mark(500).shape
    (9, 43)
    """
    bitmap = np.pad(draw_text(WORD), 1)
    return np.kron(bitmap, np.ones((enlarge := max(1, round(rows / PIXELS_PER_LINE)), enlarge), bool))


def place_mark(rows: int, columns: int) -> tuple[slice, slice]:
    """Return where the mark lies: the lower left corner, which no spine reaches."""
    height, width = draw_mark(rows).shape
    gap = max(2, min(rows, columns) // 100)
    return slice(rows - gap - height, rows - gap), slice(gap, gap + width)
