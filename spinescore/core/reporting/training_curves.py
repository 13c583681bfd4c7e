"""Learning curves of a training run: figures and a table from what was measured of each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spinescore.core.network.training_times import NAMES, PARTS
from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Figure
from spinescore.core.reporting.formatting import DASH, format_count, format_number

Line = Mapping[str, Any]
LOSSES = {
    "total": "Total loss",
    "cross_entropy": "Cross-entropy",
    "mean": "Mean loss, years²",
    "variance": "Variance loss, years²",
}
OF_PART = {"train": "training", "validation": "validation"}
WIDTH, HEIGHT = 320, 150
COLOURS = [theme.BLUE, theme.VERMILION, theme.GREEN, theme.PURPLE, theme.GREY]
COLUMNS = (
    "Epoch",
    "Size",
    "Images",
    "Learning rate",
    *(f"{name}, {part}" for name in LOSSES.values() for part in OF_PART.values()),
    "MAE, training",
    "MAE, validation",
    "r, validation",
    "Images/s",
    *(f"{name}, s" for name in NAMES.values()),
)


def draw_learning_curves(history: Sequence[Line]) -> list[Figure]:
    """Return the figures: losses, mean absolute error, learning rate, and where the time went."""
    with theme.unchecked_charts():
        return [_losses(history), _errors(history), _rates(history), _times(history)]


def tabulate_epochs(history: Sequence[Line], height: int, width: int) -> list[tuple[str, ...]]:
    """Return a row of text per epoch, under ``COLUMNS``; ``height`` and ``width`` are the canvas', pixels."""
    return [_row(line, f"{height // line['shrink']} × {width // line['shrink']}") for line in history]


def _row(line: Line, size: str) -> tuple[str, ...]:
    losses = [line[part][loss] for loss in LOSSES for part in ("train", "validation_loss")]
    measured = line["validation"]["all"]
    rate = line["images"] / line["seconds"] if line["seconds"] else None
    return (
        format_count(line["epoch"] + 1),
        size,
        format_count(line["images"]),
        f"{line['learning_rate']:.2e}",
        *(format_number(loss, 3) for loss in losses),
        format_number(line["train"]["mae_years"], 2),
        format_number(measured["mae_years"], 2),
        format_number(measured["r"], 3) if "r" in measured else DASH,
        format_number(rate, 1) if rate is not None else DASH,
        *(format_number(line["seconds_of"][part], 1) for part in PARTS),
    )


def _losses(history: Sequence[Line]) -> Figure:
    import altair as alt

    rows = [
        {"epoch": line["epoch"] + 1, "loss": loss, "part": OF_PART[part], "value": found[loss]}
        for line in history
        for part, found in (("train", line["train"]), ("validation", line["validation_loss"]))
        for loss in LOSSES
    ]
    panels = [
        _draw([row for row in rows if row["loss"] == loss], name, "part", list(OF_PART.values()))
        for loss, name in LOSSES.items()
    ]
    chart = alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:]))
    return Figure(
        key="losses",
        title="Losses",
        caption="Means over an epoch's images. Training: of images that were changed at random, while the "
        "weights changed. Validation: of images as they are, at the epoch's end. The parts are not weighted; "
        "the total is, as the epoch's stage says.",
        alt="Line charts of the total loss, cross-entropy, mean loss and variance loss per epoch, for the "
        "training and the validation part.",
        spec=theme.finish(chart),
    )


def _errors(history: Sequence[Line]) -> Figure:
    import altair as alt

    kinds = [kind for kind in history[0]["validation"] if kind != "all"]
    names = {kind: f"validation, {kind}" for kind in kinds}
    rows = [
        {"epoch": line["epoch"] + 1, "group": group, "value": value}
        for line in history
        for group, value in (
            ("training", line["train"]["mae_years"]),
            ("validation", line["validation"]["all"]["mae_years"]),
            *((names[kind], line["validation"][kind]["mae_years"]) for kind in kinds),
        )
    ]
    groups = ["training", "validation", *names.values()]
    chart = alt.hconcat(_draw(rows, "Mean absolute error, years", "group", groups))
    return Figure(
        key="errors",
        title="Mean absolute error",
        caption="Of raw spine ages against chronological ages. The weights of the best epoch are kept: the "
        "finest image size first, then the lowest error of the validation part.",
        alt="Line chart of the mean absolute error per epoch: training, validation, and validation by kind.",
        spec=theme.finish(chart),
    )


def _rates(history: Sequence[Line]) -> Figure:
    import altair as alt

    rows = [{"epoch": line["epoch"] + 1, "group": "rate", "value": line["learning_rate"]} for line in history]
    return Figure(
        key="rates",
        title="Learning rate",
        caption="Of each epoch's last step.",
        alt="Line chart of the learning rate per epoch.",
        spec=theme.finish(alt.hconcat(_draw(rows, "Learning rate", "group", ["rate"], legend=False))),
    )


def _times(history: Sequence[Line]) -> Figure:
    import altair as alt

    rows = [
        {"epoch": line["epoch"] + 1, "part": NAMES[part], "order": order, "value": line["seconds_of"][part]}
        for line in history
        for order, part in enumerate(PARTS)
    ]
    domain = [NAMES[part] for part in PARTS]
    chart = (
        alt.Chart({"values": rows}, width=WIDTH, height=HEIGHT)
        .mark_bar()
        .encode(
            x=alt.X("epoch:O", title="Epoch", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("value:Q", title="Seconds"),
            color=alt.Color("part:N", title=None, scale=alt.Scale(domain=domain, range=COLOURS[:4])),
            order=alt.Order("order:Q"),
        )
    )
    return Figure(
        key="times",
        title="Where the time went",
        caption="Seconds per epoch. Reading includes the way to the device and the changes made to images.",
        alt="Stacked bars of seconds per epoch: reading images, forward, backward, validation.",
        spec=theme.finish(alt.hconcat(chart)),
    )


def _draw(
    rows: Sequence[Mapping[str, Any]], title: str, by: str, groups: Sequence[str], *, legend: bool = True
) -> Any:
    """Draw lines with a point per epoch, told apart by colour and dash."""
    import altair as alt

    dashes = theme.group_dashes(groups)
    scale = alt.Scale(domain=list(groups), range=COLOURS[: len(groups)])
    shown = alt.Legend() if legend else None
    return (
        alt.Chart({"values": list(rows)}, width=WIDTH, height=HEIGHT)
        .mark_line(point=alt.OverlayMarkDef(size=14))
        .encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color(f"{by}:N", title=None, scale=scale, legend=shown),
            strokeDash=alt.StrokeDash(
                f"{by}:N", title=None, scale=alt.Scale(domain=list(groups), range=dashes), legend=shown
            ),
        )
    )
