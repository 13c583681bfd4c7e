"""Whether what is installed is what a package asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from spinescore.core.diagnosis.finding import Finding, judge

REINSTALL = (
    "Install it again: pip install --upgrade spinescore (or from your wheelhouse, docs/operations.md)."
)


def judge_python(version: str, wanted: str) -> Finding:
    """Tell whether a Python is one the package asks for (``>=3.11``)."""
    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    return judge(
        "software",
        "Python",
        f"{version}, {wanted} is asked for",
        fail="" if fits else f"Make a virtual environment with a Python {wanted}.",
    )


def judge_packages(requirements: Sequence[str], installed: Mapping[str, str | None]) -> list[Finding]:
    """Return a line for every package that is missing or of another version, or one that all are there.

    Parameters
    ----------
    requirements : sequence of str
        As the package's metadata has them (PEP 508); those of extras are passed over.
    installed : mapping of name to version
        None for what is not installed.
    """
    wanted = [requirement for requirement in map(Requirement, requirements) if _applies(requirement)]
    found = [
        judge(
            "software",
            requirement.name,
            f"{version or 'missing'}, wanted {requirement.specifier}",
            fail=REINSTALL,
        )
        for requirement in wanted
        if not (version := installed.get(requirement.name))
        or not requirement.specifier.contains(version, prereleases=True)
    ]
    return found or [judge("software", "packages", f"{len(wanted)} packages, each within its range")]


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
