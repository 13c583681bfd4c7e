"""Make the bundled Korean face from Noto Sans CJK: ``python docs/make_korean_font.py FOLDER``.

FOLDER holds ``NotoSansCJK-Regular.ttc`` and ``NotoSansCJK-Bold.ttc`` (Debian: fonts-noto-cjk). Takes all
11,172 syllables, the compatibility letters and Korean punctuation, and renames the face as OFL.txt says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

FONTS = Path(__file__).resolve().parents[1] / "templates" / "fonts"
FAMILY = "SpineScore Sans KR"
KOREAN = "Noto Sans CJK KR"
SYLLABLES = range(0xAC00, 0xD7A4)
LETTERS = range(0x3131, 0x318F)
PUNCTUATION = (
    *(0x0020, 0x00A0),  # pango takes a space from the font of the word before it
    *range(0x3000, 0x3003),
    *range(0x3008, 0x3012),
    *(0x3014, 0x3015, 0x301C, 0x30FB, 0x00B7, 0x203B, 0x20A9, 0x2032, 0x2033),
    *range(0x3200, 0x321F),
    *range(0x3260, 0x327C),
    *range(0x2460, 0x2474),
    *(0xFF01, 0xFF05, 0xFF08, 0xFF09, 0xFF0C, 0xFF0E, 0xFF1A, 0xFF1B, 0xFF1F, 0xFF5E, 0xFFE6),
)


def make_face(source: Path, style: str) -> TTFont:
    """Return one style of the face: its characters alone, under our name."""
    collection = TTCollection(source)
    font = next(
        face for face in collection.fonts if face["name"].getDebugName(1) in (KOREAN, f"{KOREAN} {style}")
    )
    options = subset.Options(hinting=False, notdef_outline=True, name_IDs=["*"], layout_features=[])
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE", "GPOS", "GSUB"]
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=(*SYLLABLES, *LETTERS, *PUNCTUATION))
    chosen.subset(font)
    rename(font, style)
    align(font)
    return font


def rename(font: TTFont, style: str) -> None:
    """Write our name wherever a face has its own; copyright, trademark and licence stay."""
    postscript = f"{FAMILY.replace(' ', '')}-{style}"
    names = {1: FAMILY, 2: style, 3: postscript, 4: f"{FAMILY} {style}", 6: postscript}
    for record in list(font["name"].names):
        if record.nameID in names:
            record.string = names[record.nameID]
        elif record.nameID in (16, 17):
            font["name"].removeNames(record.nameID)
    top = font["CFF "].cff
    top.fontNames[0] = postscript
    top.topDictIndex[0].FullName = names[4]
    top.topDictIndex[0].FamilyName = FAMILY


def align(font: TTFont) -> None:
    """Give the face the height of SpineScore Sans, so that lines with and without Korean are as high."""
    latin = TTFont(FONTS / "SpineScoreSans-Regular.otf")
    scale = font["head"].unitsPerEm / latin["head"].unitsPerEm
    above, below = (round(scale * value) for value in (latin["hhea"].ascent, latin["hhea"].descent))
    font["hhea"].ascent, font["hhea"].descent, font["hhea"].lineGap = above, below, 0
    metrics = font["OS/2"]
    metrics.sTypoAscender, metrics.sTypoDescender, metrics.sTypoLineGap = above, below, 0
    metrics.usWinAscent, metrics.usWinDescent = above, -below


def main(folder: Path) -> None:
    """Write both styles."""
    for style in ("Regular", "Bold"):
        make_face(folder / f"NotoSansCJK-{style}.ttc", style).save(FONTS / f"SpineScoreSansKR-{style}.otf")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
