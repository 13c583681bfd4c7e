"""Every text of the report is in the catalogues, and the Korean one is whole."""

from __future__ import annotations

import ast
import gettext
import importlib.util
import io
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from string import Formatter
from types import ModuleType

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.core.reporting.document import References, Report
from spinescore.core.reporting.language import language, written_in
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.sections import build_report
from spinescore.core.reporting.stored_words import count_text, stored_text
from spinescore.errors import LanguageError, StudyError
from spinescore.shell.catalogues import languages, read_catalogue
from spinescore.shell.resources import resource
from spinescore.study import read_study
from tests.unit.reporting.conftest import make_study
from tests.unit.reporting.families import full_material

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "docs" / "make_catalogues.py"
HANGUL = re.compile("[\uac00-\ud7a3]")
WORD = re.compile(r"[^\W\d_]{2,}(?:['’][a-z]+)?")
# What stands in a Korean report as it is: symbols, names of methods, programs and statements.
AS_IT_IS = {
    *("PAD", "AUC", "HR", "OR", "SHR", "CI", "SD", "SMD", "ICC", "IDI", "NRI", "PPV", "NPV", "IPA", "ICI"),
    *("LR", "df", "MAE", "RMSE", "CCC", "R²", "χ²", "DXA", "VFA", "UTC"),
    *("Holm", "Benjamini", "Hochberg", "Beheshti", "Cole", "STROBE", "TRIPOD", "AI", "STARD", "spinescore"),
}
SPOKEN_IN_CHARTS = {"title", "text", "label", "subtitle", "rule", "sex"}
RUN_OF_ENGLISH = re.compile(r"(?:\b[a-z]{2,}(?:['’][a-z]+)? ){3,}[a-z]{2,}")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_catalogues", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def template(tool: ModuleType) -> Catalog:
    return tool.extract_messages()


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    full = full_material(make_study(tmp_path_factory.mktemp("languages")))
    correction = {"method": "cole", "kind": "vfa", "slope": 0.7, "intercept": 12.0, "correction_id": "c" * 16}
    reference = {"reference_cohort": "derivation", "n_reference": 100, "age_min": 45.0, "age_max": 80.0}
    image = {"kind": "vfa", "n_images": 12, "n_subjects": 9}
    dates = {"first_date": date(2010, 1, 2), "last_date": date(2012, 3, 4)}
    return replace(
        full, corrections=[{**correction, **reference, "cross_fit": 5}], images=[{**image, **dates}]
    )


@pytest.fixture(scope="module")
def korean(material: Material) -> Report:
    with written_in(read_catalogue("ko")):
        return build_report(material)


def read_catalogue_file(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def keys_of(catalog: Catalog) -> set[tuple[object, object]]:
    return {(message.id, message.context) for message in catalog if message.id}


def po_files() -> list[Path]:
    return sorted(resource("templates", "locale").glob("*/LC_MESSAGES/report.po"))


def test_the_template_has_every_text(template: Catalog) -> None:
    """`make catalogues` was run after the last change of a text."""
    stored = read_catalogue_file(resource("templates", "locale", "report.pot"))
    assert keys_of(stored) == keys_of(template)
    assert len(keys_of(template)) > 900


@pytest.mark.parametrize("path", po_files(), ids=lambda path: path.parents[1].name)
def test_a_language_is_complete_and_nothing_in_it_is_a_guess(
    path: Path, tool: ModuleType, template: Catalog
) -> None:
    catalog = read_catalogue_file(path)
    assert keys_of(catalog) == keys_of(template)
    assert [message.id for message in catalog if message.id and not tool.is_translated(message)] == []


@pytest.mark.parametrize("path", po_files(), ids=lambda path: path.parents[1].name)
def test_translations_have_the_fields_of_their_text(path: Path) -> None:
    wrong = []
    for message in read_catalogue_file(path):
        if message.id:
            forms = message.string if isinstance(message.string, tuple) else (message.string,)
            originals = message.id if isinstance(message.id, tuple) else (message.id,)
            wrong += [(originals[-1], form) for form in forms if fields_of(form) != fields_of(originals[-1])]
            wrong += [(one, one) for one in originals if fields_of(one) != fields_of(originals[-1])]
    assert wrong == []


def fields_of(text: str) -> set[str]:
    return {name for _literal, name, _spec, _conversion in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("path", po_files(), ids=lambda path: path.parents[1].name)
def test_what_is_read_at_run_time_is_what_was_translated(path: Path, tool: ModuleType) -> None:
    compiled = gettext.GNUTranslations(io.BytesIO(tool.mo_bytes(read_catalogue_file(path))))
    with path.with_suffix(".mo").open("rb") as file:
        shipped = gettext.GNUTranslations(file)
    assert shipped._catalog == compiled._catalog
    assert shipped.info()["language"] == path.parents[1].name


def test_no_text_is_translated_where_extraction_does_not_look() -> None:
    """Babel does not read what stands within an f-string."""
    hidden = []
    for path in (ROOT / "spinescore" / "core" / "reporting").glob("*.py"):
        for outer in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(outer, ast.JoinedStr):
                hidden += [
                    f"{path.name}: {ast.unparse(call)}"
                    for call in ast.walk(outer)
                    if isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Name)
                    and call.func.id in {"_", "ngettext", "pgettext", "marked"}
                    and isinstance(call.args[0], ast.Constant)
                ]
    assert hidden == []


def test_the_study_file_takes_the_languages_there_are() -> None:
    from typing import get_args

    from spinescore.study.sections import StudySection

    assert get_args(StudySection.model_fields["language"].annotation) == languages()


def test_an_unknown_language_names_those_there_are() -> None:
    with pytest.raises(LanguageError, match=r"`tlh`.*Choose one of: en, ko\."):
        read_catalogue("tlh")
    with pytest.raises(LanguageError):
        read_catalogue("../ko")


def test_the_command_says_which_languages_there_are_before_it_computes_anything(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        '[study]\ntitle = "t"\ndatabase = "a.duckdb"\n[images]\nsources = ["."]\n[cohorts.a]\nwhere = "true"\n'
    )
    found = CliRunner().invoke(app, ["report", str(study), "--language", "tlh"])
    assert found.exit_code != 0
    assert isinstance(found.exception, LanguageError)
    study.write_text(study.read_text().replace("title", 'language = "klingon"\ntitle'))
    with pytest.raises(StudyError, match=r"en.*ko"):
        read_study(study)


def test_outside_of_the_block_texts_are_english() -> None:
    assert (language(), count_text(2, "subjects")) == ("en", "2 subjects")
    with written_in(read_catalogue("ko")):
        assert (language(), count_text(2, "subjects")) == ("ko", "대상자 2명")
    with written_in(read_catalogue("en")):
        assert language() == "en"
    assert count_text(1, "files") == "1 file"


def test_stored_notes_are_translated_part_by_part() -> None:
    with written_in(read_catalogue("ko")):
        assert stored_text("3 events, 7 parameters; left out as constant: sex=M") == (
            "사건 3건, 모수 7개; 값이 일정하여 제외: sex=M"
        )
        assert stored_text("separation in 3 of 20 imputations") == "대치 20회 중 3회에서 분리(separation)"
        assert stored_text("too old (80 or older)") == "나이 초과(80세 이상)"
        assert stored_text("excluded: not dicom") == "제외됨: DICOM 아님"
        assert stored_text("a rule of one's own") == "a rule of one's own"


def test_every_text_of_a_korean_report_is_korean(korean: Report, material: Material) -> None:
    """Each text block has Hangul, unless all its words are names, symbols or the study's own."""
    assert left_in_english(korean, material) == set()
    assert len(left_in_english(build_report(material), material)) > 200


def test_no_english_sentence_stands_within_a_korean_one(korean: Report) -> None:
    assert [run for text in spoken_texts(korean) for run in RUN_OF_ENGLISH.findall(text)] == []


def left_in_english(report: Report, material: Material) -> set[str]:
    known = AS_IT_IS | own_words(material)
    return {
        text for text in spoken_texts(report) if not HANGUL.search(text) and set(WORD.findall(text)) - known
    }


def own_words(material: Material) -> set[str]:
    """Return the words of the study file and of its data: names, titles, conditions, levels, ids."""
    study = material.study
    texts = [study.study.title, *study.cohorts, *study.endpoints, *study.covariates, *study.models]
    texts += [str(section.model_dump()) for section in (*study.cohorts.values(), *study.endpoints.values())]
    texts += [str(section.model_dump()) for section in study.covariates.values()]
    texts += [str(dict(part)) for part in (material.model, material.hashes, material.versions)]
    texts += [str(part) for part in (*material.corrections, *material.images, *material.runs)]
    for result in material.results:
        texts += [
            result.cohort,
            *(str(v) for v in (result.subgroup, result.group, result.term, result.comparator)),
        ]
        texts += [str(result.family) if hasattr(result, "family") else ""]
    words = {word for text in texts for word in WORD.findall(text)}
    return words | {word.capitalize() for word in words}


def spoken_texts(value: object, name: str = "", in_chart: bool = False) -> Iterator[str]:
    """Yield every text that a reader sees: of charts titles and labels alone, of references none."""
    if isinstance(value, References):
        return
    if isinstance(value, str):
        if name not in {"key", "align", "kind", "severity", "paper"} and (
            not in_chart or name in SPOKEN_IN_CHARTS
        ):
            yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from spoken_texts(getattr(value, field.name), field.name, in_chart or field.name == "spec")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from spoken_texts(item, str(key), in_chart)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from spoken_texts(item, name, in_chart)
