"""The JSON Schema: valid, current, and as strict as the reader about what single keys may be."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.study.reading import find_problems
from spinescore.study.schema import study_schema

ROOT = Path(__file__).resolve().parents[3]
VALIDATOR = Draft202012Validator(study_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
SOUND = """
[study]
title = "t"
database = "d"
[subjects]
file = "f"
id = "i"
"""
BROKEN = [
    "",
    "[study]\ntitle = 't'",
    "[study]\ntitle = ' '\ndatabase = 'd'",
    "[study]\ntitle = 1\ndatabase = 'd'",
    "[study]\ntitle = 't'\ndatabase = ''",
    "[study]\ntitle = 't'\ndatabase = 'd'\nsynthetic = 'yes'",
    *(
        SOUND + keys
        for keys in (
            "tilte = 1",
            "format = 'xls'",
            "id_width = 0",
            "id_width = '8'",
            "value_labels = 1",
            "delimiter = '-'",
            "sheet = 0",
            "dates = 'dym'",
            "dates = { a = 'dym' }",
            "sex_codes = { '1' = 'X' }",
            "rename = { a = 1 }",
            "[imagse]\nkind = 'vfa'",
            "[images]\nkind = 'xray'",
            "[images]\nsources = 'a'",
            "[images]\nsources = ['']",
            "[model]\ndevice = 'gpu'",
            "[split]\nreference_fraction = 1.0",
            "[split]\nseed = 1.5",
            "[correction]\nreference = { vaf = 'a' }",
            "[correction]\nmethod = 'lowess'",
            "[cohorts.a]\nrole = 'analysis'",
            "[cohorts]\nwhere = 'a'",
            "[cohorts.a]\nwhere = ''",
            "[cohorts.a]\nwhere = 'a'\nmin_age = -1",
            "[covariates.a]\ncolumn = 'a'\ntype = 'ordinal'",
            "[endpoints.a]\nevent = 'a'",
            "[endpoints.a]\ntype = 'binary'\ncolumn = 'a'\ncodes = { a = 2, b = 0 }",
            "[endpoints.a]\ntype = 'binary'\ncolumn = 'a'\ncodes = { a = true, b = false }",
            "[endpoints.a]\ntype = 'survival'\nevent = 'a'\nend_date = 'b'\nadmin_censor_date = 'May'",
            "[endpoints.a]\ntype = 'survival'\nevent = 'a'\nend_date = 'b'\nday_zero = 'drop'",
            "[models]\na = 'age'",
            "[models]\na = [1]",
            "[analysis]\nhorizons_years = []",
            "[analysis]\nhorizons_years = [0]",
            "[analysis]\npad_groups = 'quintiles'",
            "[analysis]\npad_groups = []",
            "[analysis]\nage_bands = [40]",
            "[analysis]\nconf_level = 95",
            "[analysis]\nprimary = { endpoint = 'a' }",
            "[train]\nbatch_size = 1",
        )
    ),
]


def as_editors_see(text: str) -> Any:
    """Return TOML as JSON has it: dates are text."""
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def test_the_schema_is_one_of_its_draft() -> None:
    Draft202012Validator.check_schema(study_schema())


def test_every_key_is_described() -> None:
    schema = study_schema()
    for section in (schema, *schema["$defs"].values()):
        for name, key in section["properties"].items():
            assert key.get("description") or "$ref" in key, name


def test_the_published_schema_is_current() -> None:
    published = (ROOT / "docs" / "study.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == study_schema(), "run `make docs`"
    assert CliRunner().invoke(app, ["study", "schema"]).output == published


@pytest.mark.parametrize("file", ["spinescore/data/demo-study.toml", "examples/omop/study.toml"])
def test_the_example_studies_are_valid_by_both(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not find_problems(tomllib.loads(text))
    assert not list(VALIDATOR.iter_errors(as_editors_see(text)))


@pytest.mark.parametrize("text", BROKEN)
def test_what_the_reader_refuses_of_a_key_the_schema_refuses(text: str) -> None:
    assert find_problems(tomllib.loads(text))
    assert list(VALIDATOR.iter_errors(as_editors_see(text)))
