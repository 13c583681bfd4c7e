"""Write docs/licences.md from the packages' own metadata: ``make lock``; names what is not permissive."""

from __future__ import annotations

import re
from pathlib import Path

from dependencies import Package, installed_closure

PERMISSIVE = re.compile(
    r"(?i)^(mit|mit-0|mit-cmu|0?bsd|bsd-[23]-clause|apache|apache-2\.0|isc|psf-2\.0|"
    r"python software foundation|zlib|cc0-1\.0|bsl-1\.0|unlicense|apache-2\.0 with llvm-exception)\b"
)
LOOKED_AT = {
    "pyphen": "one of three licences may be chosen: MPL 1.1, its files left as they are; for weasyprint",
}
"""What is not permissive by its metadata, and why it is used all the same."""
HEAD = """\
# Licences

Of every package that `pip install spinescore` brings, as its own metadata states them; written by
`make lock`, held by a test. spinescore itself is MIT. None is under the GPL alone; what is not plainly
permissive is named below the table. Wheels of numpy, scipy and scikit-learn carry libgfortran and libgomp
of GCC (GPL 3 with the runtime library exception). The fonts in the report are under the SIL Open Font
License. Debian's pango and harfbuzz, which WeasyPrint loads, are LGPL and MIT. The CUDA builds of torch
bring NVIDIA's packages under NVIDIA's terms; they are not part of this list.

| package | licence |
|---|---|
"""


def is_permissive(package: Package) -> bool:
    """Tell whether each licence that a package names is a permissive one."""
    parts = re.split(r";| AND | OR ", package.licence)
    return all(PERMISSIVE.match(part.strip()) for part in parts if part.strip())


def unexplained(packages: list[Package]) -> list[Package]:
    """Return what is neither permissive nor looked at."""
    return [package for package in packages if not is_permissive(package) and package.name not in LOOKED_AT]


def write_table(packages: list[Package]) -> str:
    """Return the page."""
    rows = "".join(f"| {package.name} | {package.licence} |\n" for package in packages)
    notes = "".join(f"- `{name}`: {why}.\n" for name, why in sorted(LOOKED_AT.items()))
    return f"{HEAD}{rows}\n## Looked at\n\n{notes}"


if __name__ == "__main__":
    found = installed_closure()
    (Path(__file__).parent / "licences.md").write_text(write_table(found), encoding="utf-8")
    if left := unexplained(found):
        raise SystemExit(f"Not permissive: {', '.join(f'{p.name} ({p.licence})' for p in left)}")
