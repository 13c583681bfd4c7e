"""The model card of a trained bundle, Markdown: what it is, on whom it was trained, what it achieves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spinescore.core.reporting.formatting import DASH, format_number
from spinescore.shell.bundles import BundleDescription

Measured = Mapping[str, Any]
CAUTION = (
    "Corrected ages contain chronological age: their errors say little of the network. "
    "Read the raw columns first."
)
GROUPS = {"sex": "Sex", "age": "Age, years", "manufacturer": "Manufacturer"}
HEAD = "| {first} | n | MAE raw | bias raw | r raw | slope raw | MAE corrected | bias corrected |"
RULE = "|---|--:|--:|--:|--:|--:|--:|--:|"


def write_model_card(description: BundleDescription) -> str:
    """Return the card of a finished description."""
    metrics = description.metrics
    network = f"{description.backbone} -> 100 -> 100 -> {description.n_classes} ages"
    lines = [
        f"# {description.name} {description.version}",
        "",
        description.intended_use,
        "",
        f"- Network: {network}, mean-variance loss.",
        f"- Trained on: {description.training_data}",
        f"- Parts: {_count_parts(metrics['parts'])}; no subject is in two.",
        f"- Ages in training: {description.ages_in_training}.",
        f"- Epochs: {metrics['epochs']['trained']} of {metrics['epochs']['planned']}; the best was "
        f"{metrics['epochs']['best'] + 1}, by the validation part.",
        f"- Age distribution: {_describe_temperature(description)}",
        *(f"- {note}" for note in metrics["notes"]),
        "",
        "## Accuracy on the test part",
        "",
        "Images of subjects that had no part in weights, stopping, correction or temperature; years.",
        "Of groups of fewer than five images only the number is given.",
        CAUTION,
        "",
        *_tabulate_kinds(metrics),
        "",
    ]
    for by, name in GROUPS.items():
        lines += [*_tabulate_groups(metrics["test_groups"], by, name), ""]
    return "\n".join([*lines, *_tabulate_coverage(metrics["coverage"]), ""])


def _count_parts(parts: Measured) -> str:
    return ", ".join(f"{name} {n['images']} images of {n['subjects']} subjects" for name, n in parts.items())


def _describe_temperature(description: BundleDescription) -> str:
    if description.temperature is None:
        return "as the network gives it."
    return f"temperature {description.temperature:.3f}, fitted on the validation part."


def _tabulate_kinds(metrics: Measured) -> list[str]:
    corrected = metrics["test_corrected"]
    return [
        HEAD.format(first="Images"),
        RULE,
        *(_row(kind, raw, corrected[kind]) for kind, raw in metrics["test"].items()),
    ]


def _tabulate_groups(groups: list[Measured], by: str, name: str) -> list[str]:
    own = [group for group in groups if group["by"] == by]
    rows = [_row(f"{group['kind']}, {group['group']}", group, group["corrected"]) for group in own]
    return [HEAD.format(first=name), RULE, *rows]


def _row(name: str, raw: Measured, corrected: Measured | None) -> str:
    cells = [name.replace("|", "/"), f"{raw['n']:.0f}"]
    cells += [_number(raw, key, digits) for key, digits in (("mae_years", 2), ("bias_years", 2))]
    cells += [_number(raw, key, 3) for key in ("r", "slope")]
    cells += [_number(corrected or {}, key, 2) for key in ("mae_years", "bias_years")]
    return f"| {' | '.join(cells)} |"


def _number(measured: Measured, key: str, digits: int) -> str:
    return format_number(measured[key], digits) if key in measured else DASH


def _tabulate_coverage(coverage: Mapping[str, list[Measured]]) -> list[str]:
    rows = [
        f"| {kind} | {found['level']:.0%} | {found['covered']:.1%} | {found['n']} | "
        f"{found['mean_width_years']:.1f} |"
        for kind, levels in coverage.items()
        for found in levels
    ]
    return [
        "How often the age distribution's central interval holds the age, on the test part:",
        "",
        "| Images | Interval | Holds the age | n | Mean width, years |",
        "|---|--:|--:|--:|--:|",
        *rows,
    ]
