"""The lock, the licences and the bill of materials say what is installed, and nothing about where it came from."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "constraints.txt").read_text(encoding="utf-8")
PINNED = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", LOCK, re.MULTILINE))


def script(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return module


@pytest.fixture(scope="module")
def packages() -> list:  # type: ignore[type-arg]
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from dependencies import installed_closure  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return installed_closure()  # type: ignore[no-any-return]


def test_every_line_of_the_lock_is_a_pin_or_a_hash_and_names_no_host() -> None:
    for line in LOCK.splitlines():
        pin = r"[a-z0-9-]+==[0-9A-Za-z.+]+ \\"
        assert re.fullmatch(rf"#.*|{pin}|    --hash=sha256:[0-9a-f]{{64}}( \\)?", line), line
    assert "://" not in LOCK
    hashes = script("make_sbom").locked_hashes(LOCK)
    assert hashes.keys() == PINNED.keys()
    assert all(hashes.values())


def test_the_lock_pins_all_that_is_needed_and_fits_the_ranges(packages: list) -> None:  # type: ignore[type-arg]
    assert {package.name for package in packages} <= PINNED.keys()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    direct = [Requirement(text) for text in declared]
    assert len(direct) > 25
    for requirement in direct:
        version = PINNED[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert SpecifierSet(str(requirement.specifier)).contains(version), requirement.name


def test_every_licence_is_permissive_or_was_looked_at(packages: list) -> None:  # type: ignore[type-arg]
    licences = script("make_licences")
    assert licences.unexplained(packages) == []
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    assert {package.name for package in packages} <= set(
        re.findall(r"^\| ([a-z0-9-]+) \|", page, re.MULTILINE)
    )


@pytest.mark.parametrize("licence", ["GPL-3.0-or-later", "MIT AND GPL-2.0-only", "proprietary", "not stated"])
def test_another_licence_would_be_seen(licence: str, packages: list) -> None:  # type: ignore[type-arg]
    from dataclasses import replace

    licences = script("make_licences")
    strange = replace(packages[0], name="strange", licence=licence)
    assert licences.unexplained([strange]) == [strange]


def test_the_bill_names_every_package_and_each_reference_leads_to_one(packages: list) -> None:  # type: ignore[type-arg]
    sbom = script("make_sbom")
    bill = sbom.bill_of_materials(packages, sbom.locked_hashes(LOCK))
    assert {c["name"] for c in bill["components"]} == {package.name for package in packages}
    references = {c["bom-ref"] for c in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    for dependency in bill["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= references
    assert bill == sbom.bill_of_materials(packages, sbom.locked_hashes(LOCK))
