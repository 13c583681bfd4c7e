"""Identifiers are found wherever they stand in a file that is to leave."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from spinescore.shell.identifier_scan import find_identifiers, is_searchable
from spinescore.shell.render import render_pdf

PSEUDONYM = "9f86d081884c7d659a2feaa0c55ad015"
UID = "1.2.826.0.1.3680043.8.498.10283746501928374650"
FILE_NAME = "IM_00042.dcm"
WANTED = {PSEUDONYM: "subject id", UID: "image UID", FILE_NAME: "file name", "12": "subject id"}
LONG_WORD = "<p style='width: 3cm; overflow-wrap: anywhere'>"


def plant(folder: Path, ending: str, text: str) -> None:
    path = folder / f"planted.{ending}"
    if ending == "pdf":
        path.write_bytes(render_pdf(f"<html lang=en><title>t</title>{LONG_WORD}{text}</p></html>"))
    elif ending == "parquet":
        pl.DataFrame({"a": [1, 2], "note": [None, f"see {text}"]}).write_parquet(path)
    elif ending == "json":
        path.write_text(json.dumps([{"value": 1, "note": f"see {text}"}]))
    elif ending == "html":
        path.write_text(f"<p title='{text[:9]}'>{text[:7]}<b>{text[7:]}</b></p>")
    elif ending == "svg":
        path.write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><text>{text.upper()}</text></svg>")
    else:
        path.write_text(f'n,"{text}; 4"\n')


@pytest.mark.parametrize("identifier", [PSEUDONYM, UID, FILE_NAME])
@pytest.mark.parametrize("ending", ["html", "pdf", "svg", "json", "csv", "parquet"])
def test_a_planted_identifier_is_found(tmp_path: Path, ending: str, identifier: str) -> None:
    plant(tmp_path, ending, identifier)
    (leak,) = find_identifiers(tmp_path, WANTED)
    assert (leak.file, leak.kind) == (f"planted.{ending}", WANTED[identifier])
    assert identifier not in str(leak)


@pytest.mark.parametrize("ending", ["html", "pdf", "svg", "json", "csv", "parquet"])
def test_other_text_is_none(tmp_path: Path, ending: str) -> None:
    plant(tmp_path, ending, "12 of 1,234 subjects; IM_000421; 1.2.826")
    assert find_identifiers(tmp_path, WANTED) == []


def test_a_title_and_alternative_text_of_a_pdf_are_read(tmp_path: Path) -> None:
    image = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSIxIiBoZWlnaHQ9IjEiLz4="
    page = f"<html lang=en><title>Of {PSEUDONYM}</title><img src='{image}' alt='{UID}'></html>"
    (tmp_path / "a.pdf").write_bytes(render_pdf(page))
    assert {leak.identifier for leak in find_identifiers(tmp_path, WANTED)} == {PSEUDONYM, UID}


def test_a_file_name_and_a_folder_of_the_machine_are_found(tmp_path: Path) -> None:
    (tmp_path / f"table-{PSEUDONYM}.csv").write_text("a\n")
    (tmp_path / "b.csv").write_text("read from /srv/spine/follow-up\n")
    found = find_identifiers(tmp_path, WANTED, ["/srv/spine"])
    assert {(leak.file[:2], leak.kind) for leak in found} == {("ta", "subject id"), ("b.", "path")}


def test_embedded_fonts_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(f"<style>url('data:font/otf;base64,AAAA{PSEUDONYM}BBB=')</style>")
    assert find_identifiers(tmp_path, WANTED) == []


def test_ids_that_are_like_any_number_are_not_looked_for() -> None:
    assert not is_searchable("1234567")
    assert not is_searchable("radiograph")
    assert is_searchable("12345678")
