"""backup, vacuum: a database copied whole, and its room given back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spinescore.cli.console import Database, Json, Output

if TYPE_CHECKING:
    from spinescore.upkeep import Copied


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(backup)
    app.command()(vacuum)


def backup(
    database: Database,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The copy, or a folder for it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Copy a database whole and checked; the copy opens as it is. The key of pseudonyms is another file."""
    from spinescore.upkeep import back_up

    output = Output(as_json)
    copied = back_up(database, to, replace=replace)
    output.say(f"{copied.path}: {copied.n_rows:,} rows, {copied.bytes_after:,} bytes.")
    output.say(f"Pseudonyms need the key as well, which is not in it: keep {copied.key} elsewhere.")
    _emit(output, copied)


def vacuum(database: Database, as_json: Json = False) -> None:
    """Give back the room of deleted rows. Needs room for a second copy while it works."""
    from spinescore.upkeep import vacuum as write_anew

    output = Output(as_json)
    copied = write_anew(database)
    output.say(f"{copied.path}: {copied.bytes_before:,} bytes before, {copied.bytes_after:,} now.")
    _emit(output, copied)


def _emit(output: Output, copied: Copied) -> None:
    output.emit(
        {
            "path": str(copied.path),
            "rows": copied.n_rows,
            "bytes_before": copied.bytes_before,
            "bytes_after": copied.bytes_after,
        }
    )
