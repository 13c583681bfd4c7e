"""The command line: documented whole, quiet where asked, one line per error."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.errors import SpineScoreError

ROOT = Path(__file__).resolve().parents[3]
RUNNER = CliRunner()


def reference() -> object:
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs" / "make_commands.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_says_what_the_commands_say() -> None:
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == reference().write_reference()  # type: ignore[attr-defined]


def test_no_command_is_undocumented() -> None:
    group = typer.main.get_command(app)
    names = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        children = getattr(command, "commands", None)
        names |= {f"{name} {child}" for child in children} if children else {name}
        names |= {name} if getattr(command, "invoke_without_command", False) else set()
    assert names == set(reference().COMMANDS) - {""}  # type: ignore[attr-defined]


def test_the_package_runs_as_a_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "spinescore", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("spinescore 0.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray-shards", "x"], "goes with --engine ray"),
        (["--engine", "ray", "--image-cache", "x"], "of the local engine"),
        (["--engine", "ray", "--precision", "bf16"], "of the local engine"),
    ],
)
def test_options_of_the_other_engine_are_refused(database: Path, options: list[str], said: str) -> None:
    refused = RUNNER.invoke(app, ["score", "-d", str(database), *options])
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.split())


def test_a_decoding_process_does_not_import_the_command_line() -> None:
    (entry,) = entry_points(group="console_scripts", name="spinescore")
    code = f"import sys, {entry.module}; print('typer' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


def test_ingest_speaks_json_to_machines_and_not_at_all_when_quiet(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    arguments = ["ingest", str(tmp_path / "in"), "-d", str(tmp_path / "a.duckdb")]
    spoken = json.loads(RUNNER.invoke(app, [*arguments, "--json"]).stdout)
    assert spoken["seen"] == spoken["read"] == 1
    assert spoken["states"] == [{"state": "excluded", "reason": "not_dicom", "n": 1}]
    assert RUNNER.invoke(app, [*arguments, "--quiet"]).stdout == ""


def test_the_database_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_DATABASE", str(tmp_path / "a.duckdb"))
    (tmp_path / "a.txt").write_text("x")
    assert RUNNER.invoke(app, ["ingest", str(tmp_path / "a.txt")]).exit_code == 0
    assert RUNNER.invoke(app, ["status"]).exit_code == 0


def test_every_error_has_a_slug_of_its_own_and_a_documented_status() -> None:
    kinds = [SpineScoreError, *all_subclasses(SpineScoreError)]
    assert len({kind.slug for kind in kinds}) == len(kinds)
    assert {kind.exit_status for kind in kinds} == {1, 5}


def all_subclasses(kind: type[SpineScoreError]) -> list[type[SpineScoreError]]:
    return [s for child in kind.__subclasses__() for s in (child, *all_subclasses(child))]
