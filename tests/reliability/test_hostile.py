"""Hostile input: every path one row with the state and reason it must have; nothing dies, hangs or bloats."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.warehouse import open_warehouse
from tests.memory import memory_growth
from tests.reliability.hostile_case import Outcome
from tests.reliability.hostile_files import HostileFolder, all_cases, write_cases

MOST_GROWTH_BYTES = 750_000_000
FEWEST_CASES = 200
OF_SEVERAL_IMAGES = frozenset({"pixels_seen_before", "study_two_patients"})  # most cases show one picture
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FORMULA = re.compile(r"^\s*[=+\-@]|^[\t\r\n]")


@dataclass(frozen=True)
class Look:
    """One ingest of all cases, with its pixels and identifiers kept."""

    folder: HostileFolder
    database: Path
    files: pl.DataFrame
    grown_bytes: int

    @property
    def found(self) -> dict[bytes, Outcome]:
        """State and reason of each path, relative to the folder."""
        rows = self.files.select("path_bytes", "state", "reason").iter_rows()
        return {self.folder.relative(path): (state, reason) for path, state, reason in rows}


def look(folder: HostileFolder, database: Path, workers: int) -> Look:
    with memory_growth() as growth, open_warehouse(database, create=True) as warehouse:
        request = IngestRequest(folder.sources, keep_identifiers=True, check_pixels=True, workers=workers)
        ingest(warehouse, request)
        files = warehouse.table("files")
    return Look(folder, database, files, growth.n_bytes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> HostileFolder:
    return write_cases(all_cases(), tmp_path_factory.mktemp("hostile").resolve())


@pytest.fixture(scope="module")
def looked(folder: HostileFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINESCORE_HOME", str(tmp_path_factory.mktemp("home")))
        yield look(folder, tmp_path_factory.mktemp("hostile-database") / "cohort.duckdb", 1)


def test_every_path_has_one_row_with_the_state_and_reason_it_must_have(looked: Look) -> None:
    assert len(looked.folder.expected) >= FEWEST_CASES
    assert looked.files["path_bytes"].is_unique().all()
    found = looked.found
    wrong = {
        path: (found.get(path), outcome)
        for path, outcome in looked.folder.expected.items()
        if found.get(path) != outcome
    }
    assert wrong == {}
    assert found.keys() == looked.folder.expected.keys()


def test_indexed_images_carry_the_flags_they_must_have(looked: Look) -> None:
    rows = looked.files.select("path_bytes", "flags").iter_rows()
    flags = {looked.folder.relative(path): set(flags) - OF_SEVERAL_IMAGES for path, flags in rows}
    assert {path: flags[path] for path in looked.folder.flags} == looked.folder.flags


def test_it_takes_no_more_memory_than_it_should(looked: Look) -> None:
    assert looked.grown_bytes < MOST_GROWTH_BYTES


def test_every_refusal_says_why(looked: Look) -> None:
    refused = looked.files.filter(pl.col("state") != "indexed")
    assert refused["reason"].null_count() == 0
    broken = looked.files.filter(
        (pl.col("state") == "rejected") & (pl.col("reason").is_in(["empty", "reference_outside"]).not_())
    )
    assert broken["detail"].null_count() == 0


def test_two_workers_come_to_the_same_table(
    looked: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinescore.ingest.FILES_WORTH_A_WORKER", 64)
    again = look(looked.folder, tmp_path / "cohort.duckdb", 2)
    columns = ["path_bytes", "state", "reason", "detail", "flags", "sop_instance_uid", "rule", "input_id"]
    assert (
        again.files.select(columns).sort("path_bytes").equals(looked.files.select(columns).sort("path_bytes"))
    )


def printed_by(*arguments: str) -> str:
    """Return what a command prints, which must end well."""
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout_bytes.decode()


@pytest.mark.parametrize("state", ["indexed", "duplicate", "excluded", "rejected", "missing"])
def test_no_list_steers_a_terminal(looked: Look, state: str) -> None:
    printed = printed_by("ingest", "-d", str(looked.database), "--list", state)
    assert CONTROL.findall(printed) == []
    assert looked.folder.sources[0].name in printed.replace("\n", "")


def test_lists_are_valid_json_with_every_path(looked: Look) -> None:
    n_listed = 0
    for state in ("indexed", "duplicate", "excluded", "rejected", "missing"):
        printed = printed_by("ingest", "-d", str(looked.database), "--list", state, "--json")
        n_listed += len(json.loads(printed)["listed"])
        assert CONTROL.findall(printed) == []
    assert n_listed == looked.files.height


@pytest.mark.parametrize("state", ["indexed", "excluded", "rejected"])
def test_no_cell_of_a_list_is_a_formula(looked: Look, tmp_path: Path, state: str) -> None:
    table = tmp_path / "list.csv"
    printed_by("ingest", "-d", str(looked.database), "--list", state, "--list-to", str(table))
    rows = pl.read_csv(table, infer_schema=False)
    assert rows.height == looked.files.filter(pl.col("state") == state).height
    cells = [cell for row in rows.iter_rows() for cell in row if cell]
    assert [cell for cell in cells if FORMULA.match(cell)] == []


def test_status_is_plain_text(looked: Look) -> None:
    for arguments in ((), ("--json",), ("--list", "rejected")):
        assert CONTROL.findall(printed_by("status", "-d", str(looked.database), *arguments)) == []


EXPLAINED = (
    b"values/text-clear.dcm", b"values/text-rich-markup.dcm", b"values/text-right-to-left.dcm",
    b"names/escape\x1b[2J\x1b]0;owned\x07.dcm", b"names/not-utf8-\xff\xfe\xe4.dcm",
    b"elements/nested-300.dcm", b"others/gigabyte-behind-prefix.dcm", b"links/pipe",
)  # fmt: skip


@pytest.mark.parametrize(
    "path",
    EXPLAINED,
    ids=lambda path: path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode(),
)
def test_explaining_a_file_steers_no_terminal(looked: Look, path: bytes) -> None:
    file = os.fsdecode(os.path.join(os.fsencode(looked.folder.sources[0]), path))
    for arguments in ((), ("--json",)):
        printed = printed_by("ingest", "--explain", file, *arguments)
        assert CONTROL.findall(printed) == []
        if arguments:
            assert json.loads(printed)["state"] == looked.found[path][0]
