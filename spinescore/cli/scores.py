"""scores import|export: ages computed elsewhere come in, everything goes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spinescore.cli.console import Database, Json, Output, Quiet, Snapshot, stage_line

if TYPE_CHECKING:
    from spinescore.core.score_table import ScoreTable

app = typer.Typer(
    help="Ages computed elsewhere come in as scores; all scores go out as one table.", no_args_is_help=True
)
Format = Literal["csv", "tsv", "parquet", "excel", "sas", "xport", "stata", "spss"]
DateForm = Literal["iso", "ymd", "dmy", "mdy", "sas", "excel"]


def _column(option: str, text: str) -> Any:
    return typer.Option(option, metavar="COLUMN", help=text)


@app.command("import")
def import_table(
    file: Annotated[
        Path, typer.Argument(help="CSV, Parquet, Excel, SAS, Stata or SPSS; a row per subject and date.")
    ],
    database: Database,
    id_column: Annotated[str, _column("--id", "Patient ids, as in the follow-up table.")],
    spine_age: Annotated[str, _column("--spine-age", "The ages computed elsewhere, years.")],
    age: Annotated[str | None, _column("--age", "Age at imaging, years.")] = None,
    birth_date: Annotated[
        str | None, _column("--birth-date", "Instead of --age, with --study-date; it is not stored.")
    ] = None,
    study_date: Annotated[str | None, _column("--study-date", "Day of imaging.")] = None,
    image: Annotated[
        str | None,
        _column("--image", "What tells images of one subject and day apart, if there are several."),
    ] = None,
    sex: Annotated[str | None, _column("--sex", "F, M, female or male; else see --sex-codes.")] = None,
    sex_codes: Annotated[
        str | None, typer.Option(metavar="CODES", help="What sexes are coded as, e.g. 1=M,2=F,9=.")
    ] = None,
    kind: Annotated[Literal["radiograph", "vfa"], typer.Option(help="What was imaged.")] = "radiograph",
    kind_column: Annotated[
        str | None, _column("--kind-column", "Instead of --kind: radiograph or vfa, row by row.")
    ] = None,
    spine_age_sd: Annotated[
        str | None, _column("--spine-age-sd", "SD of each age's distribution, years.")
    ] = None,
    manufacturer: Annotated[str | None, _column("--manufacturer", "Maker of the device.")] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What to call their model; the file's name by default. The same name replaces."),
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="IssuerOfPatientID the ids belong to.")] = None,
    id_width: Annotated[
        int | None, typer.Option(help="Ids of digits only get leading zeros to this length.")
    ] = None,
    keep_identifiers: Annotated[
        bool, typer.Option("--keep-identifiers", help="Store patient ids as they are, not as pseudonyms.")
    ] = False,
    dates: Annotated[DateForm | None, typer.Option(help="How dates are written.")] = None,
    decimal: Annotated[str | None, typer.Option(metavar="MARK", help='"." or "," in numbers.')] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="CHARACTER", help="Of text: comma, semicolon, tab or pipe.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text, e.g. cp949.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of Excel: name or number.")] = None,
    header_row: Annotated[int, typer.Option(help="Row of the column names.")] = 1,
    value_labels: Annotated[
        bool, typer.Option("--value-labels", help="Read labels instead of codes (Stata, SPSS).")
    ] = False,
    table_format: Annotated[
        Format | None, typer.Option("--format", help="By first bytes and suffix if left out.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read ages that another model or centre computed; a study then names them by `model.imported`."""
    from spinescore.scores import ImportRequest, import_scores
    from spinescore.shell.cohorts import imported_key

    table = _table(
        file=file,
        id=id_column,
        spine_age=spine_age,
        age=age,
        birth_date=birth_date,
        study_date=study_date,
        image=image,
        sex=sex,
        sex_codes=_codes(sex_codes),
        kind=kind,
        kind_column=kind_column,
        spine_age_sd=spine_age_sd,
        manufacturer=manufacturer,
        issuer=issuer,
        id_width=id_width,
        dates=dates,
        decimal=decimal,
        delimiter="\t" if delimiter == "\\t" else delimiter,
        encoding=encoding,
        sheet=int(sheet) if sheet and sheet.isdecimal() else sheet,
        header_row=header_row,
        value_labels=value_labels,
        format=table_format,
    )
    request = ImportRequest(table, name or file.stem, keep_identifiers or None)
    stage = import_scores(database, request)
    output = Output(as_json, quiet)
    output.say(stage_line(stage))
    model_id = imported_key(request.name).model_id
    output.emit(
        {
            "changed": stage.changed,
            "name": request.name,
            "model_id": model_id,
            **stage.counts,
            "warnings": stage.warnings,
        }
    )


@app.command("export")
def export_table(
    file: Annotated[Path, typer.Argument(help="A .csv, .parquet or .json file to write.")],
    database: Database,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="NAME", help="Only this model's: its id or name.")
    ] = None,
    snapshot: Snapshot = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write all scores, raw and corrected, as one long table without UIDs and paths."""
    from spinescore.scores import export_scores

    stage = export_scores(database, file, model=model, snapshot=snapshot)
    output = Output(as_json, quiet)
    output.say(stage_line(stage))
    output.emit({"file": str(file), **stage.counts, "warnings": stage.warnings})


def _table(**settings: Any) -> ScoreTable:
    """Return what is said of the table; everything wrong with it is one usage error."""
    from pydantic import ValidationError

    from spinescore.core.score_table import ScoreTable

    try:
        return ScoreTable(**settings)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            option = "".join(f"--{str(part).replace('_', '-')}: " for part in item["loc"][:1])
            problems.append(option + item["msg"].removeprefix("Value error, "))
        raise typer.BadParameter("; ".join(problems)) from None


def _codes(text: str | None) -> dict[str, str] | None:
    """Return ``1=M,2=F`` as a mapping."""
    if text is None:
        return None
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise typer.BadParameter("write codes as 1=M,2=F,9=", param_hint="--sex-codes")
    return {code.strip(): sex.strip().upper() for code, _, sex in pairs}
