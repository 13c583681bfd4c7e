"""Turn a fixed-width survey file (NHANES II: DU5302.TXT) into CSV, by the SAS program that comes with it.

    python fixed_width_to_csv.py DU5302.TXT DU5302.SAS people.csv id=VARIABLE age=VARIABLE sex=VARIABLE

Left of each `=` the column's name in the CSV, right of it the variable's name in the SAS program: look it up
in the survey's codebook. Both ways of writing positions are understood, `NAME 1-5` and `@1 NAME 5.`.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

RANGE = re.compile(r"\b([A-Za-z_]\w*)\s+\$?\s*(\d+)(?:\s*-\s*(\d+))?(?=\s|;|$)")
POINTER = re.compile(r"@\s*(\d+)\s+([A-Za-z_]\w*)\s+\$?(?:CHAR)?(\d+)\.", re.IGNORECASE)


def read_positions(program: str) -> dict[str, tuple[int, int]]:
    """Return each variable's first and last column, from 1, of a SAS program's INPUT statement.

    >>> read_positions("INPUT SEQN 1-5 SEX 6 @7 AGE 2.;")
    {'SEQN': (1, 5), 'SEX': (6, 6), 'AGE': (7, 8)}
    """
    statement = re.search(r"\binput\b(.*?);", program, re.IGNORECASE | re.DOTALL)
    if statement is None:
        raise SystemExit("error: the SAS program has no INPUT statement.")
    text = statement[1] + ";"
    positions = {}
    for name, first, last in RANGE.findall(POINTER.sub(" ", text)):
        positions[name.upper()] = (int(first), int(last or first))
    for first, name, width in POINTER.findall(text):
        positions[name.upper()] = (int(first), int(first) + int(width) - 1)
    return positions


def main(arguments: list[str]) -> None:
    """Write the chosen columns of every line."""
    if len(arguments) < 4 or not all("=" in choice for choice in arguments[3:]):
        raise SystemExit(__doc__)
    text, program, output = (Path(a) for a in arguments[:3])
    chosen = dict(choice.split("=", 1) for choice in arguments[3:])
    positions = read_positions(program.read_text(encoding="latin-1"))
    unknown = [name for name in chosen.values() if name.upper() not in positions]
    if unknown:
        raise SystemExit(f"error: {program} places no variable {', '.join(unknown)}.")
    with text.open(encoding="latin-1") as lines, output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(chosen)
        for line in lines:
            spans = (positions[name.upper()] for name in chosen.values())
            writer.writerow([line[first - 1 : last].strip() for first, last in spans])


if __name__ == "__main__":
    main(sys.argv[1:])
