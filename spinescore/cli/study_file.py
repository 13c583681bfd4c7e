"""study new|check|schema: a first study file, what it would find, and what editors need to help with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spinescore.cli.console import Json, Output, Quiet
from spinescore.cli.study_check import check

if TYPE_CHECKING:
    from spinescore.study import TableLayout

app = typer.Typer(
    help="Study files: draft one from a table, check it, help editors with it.", no_args_is_help=True
)
app.command("check")(check)
Format = Literal["csv", "tsv", "parquet", "excel", "sas", "xport", "stata", "spss"]


@app.command("new")
def new(
    table: Annotated[
        Path, typer.Argument(help="The follow-up table: CSV, Parquet, Excel, SAS, Stata or SPSS.")
    ],
    database: Annotated[
        Path | None,
        typer.Option(
            "--database",
            "-d",
            envvar="SPINESCORE_DATABASE",
            help="The DuckDB file of the images; it need not exist yet.",
            show_envvar=True,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The study file to write.")] = Path(
        "study.toml"
    ),
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", metavar="FOLDER", help="Where DICOM files are; may be given several times."),
    ] = None,
    imported: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ages read by `scores import`, instead of images.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="The column of ids; found if left out.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="IssuerOfPatientID the ids belong to.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="CHARACTER", help="Of text: comma, semicolon, tab or pipe.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text, e.g. cp949.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of Excel: name or number.")] = None,
    header_row: Annotated[int | None, typer.Option(help="Row of the column names.")] = None,
    value_labels: Annotated[
        bool, typer.Option("--value-labels", help="Read labels instead of codes (Stata, SPSS).")
    ] = False,
    table_format: Annotated[
        Format | None, typer.Option("--format", help="By first bytes and suffix if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing study file.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented study file for a follow-up table: columns looked at, every guess marked."""
    from spinescore.new_study import NewStudyRequest, write_new_study

    if images and imported is not None:
        raise typer.BadParameter("images are not scored where ages are imported", param_hint="--images")
    layout = _layout(
        format=table_format,
        delimiter="\t" if delimiter == "\\t" else delimiter,
        encoding=encoding,
        sheet=int(sheet) if sheet and sheet.isdecimal() else sheet,
        header_row=header_row,
        value_labels=value_labels or None,
    )
    request = NewStudyRequest(
        table, output, layout, database, tuple(images or ()), imported, id_column, issuer, force
    )
    draft = write_new_study(request)
    out = Output(as_json, quiet)
    out.say(
        f"{output}: {len(draft.guesses)} guesses to check (GUESS), {len(draft.decisions)} to decide (DECIDE)"
    )
    for line, about in draft.decisions:
        out.say(f"  {output}:{line}: {about}")
    out.say(f"Then: spinescore study check {output}")
    out.emit(
        {
            "file": str(output),
            "guesses": [{"line": line, "key": about} for line, about in draft.guesses],
            "decisions": [{"line": line, "about": about} for line, about in draft.decisions],
        }
    )


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of study files, by which editors complete and check them."""
    from spinescore.study.schema import study_schema

    typer.echo(json.dumps(study_schema(), ensure_ascii=False, indent=2))


def _layout(**settings: Any) -> TableLayout:
    """Return what is said of the table's layout; what is wrong with it is a usage error."""
    from pydantic import ValidationError

    from spinescore.study import TableLayout

    try:
        return TableLayout(**{key: value for key, value in settings.items() if value is not None})
    except ValidationError as error:
        problems = (
            f"--{str(item['loc'][0]).replace('_', '-')}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise typer.BadParameter("; ".join(dict.fromkeys(problems))) from None
