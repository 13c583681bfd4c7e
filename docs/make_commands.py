"""Write docs/commands.md from the commands themselves: ``python docs/make_commands.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

COMMANDS = (
    "",
    "ingest",
    "rules test",
    "score",
    "scores import",
    "scores export",
    "study new",
    "study check",
    "study schema",
    "run",
    "report",
    "analyze",
    "outcomes",
    "calibrate fit",
    "calibrate apply",
    "calibrate show",
    "schedule add",
    "schedule list",
    "schedule show",
    "schedule remove",
    "train",
    "model import",
    "model show",
    "model verify",
    "model coverage",
    "model perturb",
    "model saliency",
    "status",
    "verify",
    "runs",
    "runs show",
    "runs diff",
    "trace",
    "doctor",
    "scale",
    "backup",
    "vacuum",
    "demo",
)
HEAD = "# Commands\n\nWritten by `python docs/make_commands.py`; a test holds it to what the commands say.\n"


PRINT_HELPS = """
import json, sys
from typer.testing import CliRunner
from spinescore.cli import app
runner = CliRunner()
print(json.dumps([runner.invoke(app, [*name.split(), "--help"], prog_name="spinescore").stdout
                  for name in json.load(sys.stdin)]))
"""


def write_reference() -> str:
    """Return the page: the help text of every command."""
    parts = (
        f"\n## spinescore {name}".rstrip() + f"\n\n```\n{text}\n```\n"
        for name, text in zip(COMMANDS, _helps(), strict=True)
    )
    return HEAD + "".join(parts)


def _helps() -> list[str]:
    environment = os.environ | {"COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1"}
    shown = subprocess.run(
        [sys.executable, "-c", PRINT_HELPS],
        input=json.dumps(COMMANDS),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return [
        "\n".join(line.rstrip() for line in text.strip().splitlines()) for text in json.loads(shown.stdout)
    ]


if __name__ == "__main__":
    (Path(__file__).parent / "commands.md").write_text(write_reference(), encoding="utf-8")
