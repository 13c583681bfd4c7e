"""Where the numbers come from: versions, ids, coefficients, runs, hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spinescore.core.reporting.document import (
    Block,
    Cell,
    Column,
    Definitions,
    Heading,
    Paragraph,
    Row,
    Section,
    Table,
)
from spinescore.core.reporting.formatting import DASH, format_count, format_number
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import pgettext
from spinescore.core.reporting.material import CORRECTION_NAMES, Material, describe_fit, level_title
from spinescore.core.reporting.summary import model_name


def provenance_section(material: Material) -> Section:
    """Say what fixes every number of this report, so that it can be made again."""
    model = material.model
    identity = (
        (_("Model"), model_name(material)),
        (_("Model id"), str(model["model_id"])),
        *_origin(material),
        *((_(name), value) for name, value in material.hashes.items()),
        (
            _("Seed of the split"),
            _("{seed}, reference share {reference_fraction:g}").format(
                seed=material.study.split.seed, reference_fraction=material.study.split.reference_fraction
            ),
        ),
        (_("Software"), ", ".join(f"{name} {version}" for name, version in material.versions.items())),
        (
            _("Numbers"),
            _("{n:,} rows in results.json and results.parquet beside this report").format(
                n=len(material.results)
            ),
        ),
    )
    blocks: list[Block] = [
        Paragraph(text=_("Ids are SHA-256 of content, shortened: equal ids, equal content.")),
        Definitions(items=identity),
        Heading(text=_("Bias corrections and runs")),
    ]
    if material.corrections:
        blocks.append(corrections_table(material))
    blocks.append(runs_table(material))
    return Section(key="provenance", title=_("Provenance"), blocks=tuple(blocks))


def _origin(material: Material) -> tuple[tuple[str, str], ...]:
    """What fixes the spine ages besides the model's id: preprocessing and licence, or the imported file."""
    if material.imported is None:
        licence = str(material.model.get("manifest", {}).get("licence") or _("not stated"))
        return (
            (_("Preprocessing id"), str(material.model["preprocessing_id"])),
            (_("Licence of the model"), licence),
        )
    return ((_("SHA-256 of the imported file"), str(material.imported["file_sha256"])),)


def corrections_table(material: Material) -> Table:
    """List the corrections in force with their coefficients."""
    columns = (
        Column(label=_("Kind"), align="left"),
        Column(label=_("Method"), align="left"),
        Column(label=_("Fitted on"), align="left"),
        Column(label="n"),
        Column(label=_("Ages")),
        Column(label=_("Slope")),
        Column(label=_("Intercept, years")),
        Column(label=_("Id"), align="left"),
    )
    return Table(
        key="corrections",
        title=_("Bias corrections in force"),
        columns=columns,
        rows=tuple(Row(cells=_correction_cells(correction)) for correction in material.corrections),
        caption=_(
            "Beheshti: PAD on chronological age; Cole: spine age on chronological age. `spinescore "
            "calibrate show` draws the fits."
        ),
    )


def _correction_cells(c: Mapping[str, Any]) -> tuple[Cell, ...]:
    slope = DASH if c["slope"] is None else format_number(c["slope"], 4)
    intercept = DASH if c["intercept"] is None else format_number(c["intercept"], 3)
    texts = (
        level_title(c["kind"]),
        _(CORRECTION_NAMES.get(c["method"], c["method"])),
        "; ".join(text for text in (c["reference_cohort"], describe_fit(c)) if text),
        format_count(c["n_reference"]),
        f"{c['age_min']:.0f}–{c['age_max']:.0f}",
        slope,
        intercept,
        c["correction_id"],
    )
    return tuple(Cell(text=text) for text in texts)


def runs_table(material: Material) -> Table:
    """List the runs the report rests on."""
    columns = (
        Column(label=_("Run")),
        Column(label=_("Stage"), align="left"),
        Column(label=_("Version"), align="left"),
        Column(label=_("Started (UTC)"), align="left"),
        Column(label=_("Seconds")),
        Column(label=pgettext("of a run", "Outcome"), align="left"),
        Column(label=_("Counts"), align="left"),
    )
    return Table(
        key="runs",
        title=_("Runs this report rests on"),
        columns=columns,
        rows=tuple(Row(cells=_run_cells(run)) for run in material.runs),
    )


def _run_cells(run: Mapping[str, Any]) -> tuple[Cell, ...]:
    ended = run["ended_at"]
    seconds = DASH if ended is None else format_number((ended - run["started_at"]).total_seconds(), 1)
    counts = ", ".join(f"{name} {n:,}" for name, n in run["counts"].items())
    texts = (
        str(run["run_id"]),
        run["command"],
        run["version"],
        f"{run['started_at']:%Y-%m-%d %H:%M:%S}",
        seconds,
        run["outcome"] or _("not finished"),
        counts,
    )
    return tuple(Cell(text=text) for text in texts)
