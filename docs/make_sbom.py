"""Write sbom.cdx.json, a CycloneDX 1.6 bill of what is installed to run spinescore: ``make sbom``."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from dependencies import ROOT_NAME, Package, asked_for, comparable, installed_closure
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def bill_of_materials(packages: list[Package], hashes: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the bill: each package with licence and the hashes of its files, and what needs what."""
    version = metadata.version(ROOT_NAME)
    direct = {comparable(Requirement(text).name) for text in asked_for()}
    named = {package.name: _address(package.name, package.version) for package in packages}
    itself = _address(ROOT_NAME, version)
    content = "|".join(sorted(named.values()))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{itself}|{content}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": itself, "name": ROOT_NAME, "version": version,
                "purl": itself, "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": [_component(package, named[package.name], hashes) for package in packages],
        "dependencies": [
            {"ref": itself, "dependsOn": sorted(named[name] for name in direct & named.keys())},
            *({"ref": named[p.name], "dependsOn": sorted(named[n] for n in p.needs)} for p in packages),
        ],
    }  # fmt: skip


def locked_hashes(text: str) -> dict[str, list[str]]:
    """Return the SHA-256 of each package's files, of a lock."""
    entries = re.findall(
        r"^([a-z0-9-]+)==\S+ \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    return {name: re.findall(r"sha256:([0-9a-f]{64})", block) for name, block in entries}


def _component(package: Package, address: str, hashes: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": address,
        "name": package.name,
        "version": package.version,
        "purl": address,
        "licenses": [{"license": {"name": package.licence}}],
        "properties": [
            {"name": "sha256 of a file", "value": value} for value in hashes.get(package.name, ())
        ],
    }


def _address(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version.replace('+', '%2B')}"


if __name__ == "__main__":
    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    bill = bill_of_materials(installed_closure(), locked_hashes(lock))
    (ROOT / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
