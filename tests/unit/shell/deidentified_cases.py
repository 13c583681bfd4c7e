"""Images to be copied without their names, and how."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from spinescore.core.deidentification.basic_profile import Identity
from spinescore.core.deidentification.replacement import Replacements
from spinescore.core.eligibility.rule_set import RuleSet
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.domain import Kind
from spinescore.shell.archive.locations import stat_location
from spinescore.shell.copies.deidentified_copies import (
    attribute_table,
)
from spinescore.shell.copies.deidentified_files import CopyItem, CopySettings
from spinescore.shell.indexing.rules import default_rules, read_rules

SEED, HEIGHT = 31, 300
SUBJECT = "0123456789abcdef0123456789abcdef"
REPLACEMENTS = Replacements(bytes(range(32)))


def write_phantom(path: Path, number: int, kind: Kind = "radiograph", **changes: Any) -> Path:
    person = draw_people(number + 1, seed=SEED, cohort="derivation")[number]
    image = dataset(render(person, kind=kind, seed=SEED, height=HEIGHT), person, seed=SEED)
    image.BurnedInAnnotation = "NO"
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    image.save_as(path, enforce_file_format=True)
    return path


def item(path: Path, kind: Kind = "radiograph", age_years: float | None = 70.5) -> CopyItem:
    uid = REPLACEMENTS.uid
    identity = Identity(
        subject_id=SUBJECT,
        study_uid=uid("1"),
        series_uid=uid("2"),
        instance_uid=uid("3"),
        age_years=age_years,
    )
    return CopyItem(identity, kind, os.fsencode(path), *stat_location(os.fsencode(path)))


def how(folder: Path, **changes: Any) -> CopySettings:
    values = {
        "table": attribute_table(),
        "replacements": REPLACEMENTS,
        "rules": default_rules(),
        "dates": "shift",
        "burned_in": "refuse",
    }
    return CopySettings(folder, **{**values, **changes})


def rules_with(tmp_path: Path, text: str) -> RuleSet:
    (tmp_path / "rules.toml").write_text(text, encoding="utf-8")
    return read_rules(tmp_path / "rules.toml")
