"""Draw docs/images/phantom.png: radiographs above, VFA images below, young to old.

python examples/phantom/draw_contact_sheet.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from spinescore.core.phantom.person import CohortName, Person, draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.domain import Kind

SEED = 2026
ROW_HEIGHT = 430
SHEET_WIDTH = 1500
GREYS = 64
ROWS: tuple[tuple[Kind, CohortName], ...] = (("radiograph", "derivation"), ("vfa", "vfa"))


def draw_phantom(person: Person, kind: Kind) -> Image.Image:
    """Render one phantom, bone bright, at the sheet's height."""
    rendered = render(person, kind=kind, seed=SEED)
    bright = rendered.pixels / ((1 << rendered.bits_stored) - 1)
    if rendered.photometric == "MONOCHROME1":
        bright = 1 - bright
    image = Image.fromarray((bright * 255).astype(np.uint8))
    width = round(image.width * ROW_HEIGHT / image.height)
    return image.resize((width, ROW_HEIGHT), Image.Resampling.LANCZOS)


def draw_row(kind: Kind, cohort: CohortName) -> Image.Image:
    """Fill one row with the first people of the seed who fit, the spine's age growing to the right."""
    images: list[tuple[float, Image.Image]] = []
    width = 0
    for person in draw_people(40, seed=SEED, cohort=cohort):
        image = draw_phantom(person, kind)
        if width + image.width > SHEET_WIDTH:
            continue
        images.append((person.biological_age_years, image))
        width += image.width
    row = Image.new("L", (SHEET_WIDTH, ROW_HEIGHT))
    left = 0
    for _, image in sorted(images, key=lambda pair: pair[0]):
        row.paste(image, (left, 0))
        left += image.width
    return row


def draw_sheet() -> Image.Image:
    """Return the whole sheet in few greys, so that it stays small."""
    sheet = Image.new("L", (SHEET_WIDTH, ROW_HEIGHT * len(ROWS)))
    for i, (kind, cohort) in enumerate(ROWS):
        sheet.paste(draw_row(kind, cohort), (0, i * ROW_HEIGHT))
    step = 256 // GREYS
    return sheet.point([value // step * step for value in range(256)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("docs/images/phantom.png"))
    draw_sheet().save(parser.parse_args().output, optimize=True)
