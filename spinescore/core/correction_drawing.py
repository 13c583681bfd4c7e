"""A correction as text for a terminal: PAD on age before and after, and bars by age; at most 80 columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from spinescore.domain import AgeCell, AgeLevel, Correction, FoldFit

BEFORE, AFTER, BOTH, FIT, ZERO = "●", "○", "◉", "·", "─"
PLOT_COLUMNS = 66
PLOT_ROWS = 15
MOST_ROWS = 24
BAND_YEARS = 5
BAR_COLUMNS = 12
MEAN_COLUMNS = 15
EIGHTHS = " ▏▎▍▌▋▊▉█"


def describe_lines(correction: Correction) -> list[str]:
    """Return what a correction is, in a few lines: formula, whom it was fitted on, cautions."""
    youngest, oldest = correction.age_range
    makers = ", ".join(f"{name} {n:,}" for name, n in correction.manufacturers)
    lines = [
        f"{correction.kind}: {correction.method}   id {correction.correction_id}",
        f"  {describe_formula(correction)}",
        f"  fitted {correction.fitted_on or 'on a day not recorded'} on {correction.n_reference:,} subjects "
        f"aged {youngest:.1f} to {oldest:.1f} years",
        f"  of `{correction.reference_cohort}`{f'; {makers}' if makers else ''}",
    ]
    cautions = (
        (correction.synthetic, "SYNTHETIC DATA: fitted on made-up images"),
        (correction.across_kinds, f"fitted on images of kind {correction.fitted_kind}: another kind's bias"),
        (correction.same_cohort, "meant for those it was fitted on: mean PAD 0 and no slope by construction"),
        (bool(correction.folds), f"cross-fitted: {correction.cross_fit} folds; after = out of fold"),
        (correction.n_trained_on > 0, f"{correction.n_trained_on:,} of them trained the network"),
    )
    return lines + [f"  ! {text}" for holds, text in cautions if holds]


def draw_fit(correction: Correction) -> list[str]:
    """Return the lines of a plot: mean PAD by age, before and after, with the fit."""
    cells = correction.profile
    if not cells:
        return []
    values = [value for cell in cells for value in (cell.mean, cell.mean_after)]
    lowest, highest = min(0.0, *values), max(0.0, *values)
    step = _round_step((highest - lowest) or 1.0)
    lowest = step * math.floor(lowest / step)
    highest = max(step * math.ceil(highest / step), lowest + step)
    left, right = cells[0].first, cells[-1].last + 1
    canvas = [[" "] * PLOT_COLUMNS for _ in range(PLOT_ROWS)]

    def place(age: float, value: float, mark: str) -> None:
        column = round((age - left) / (right - left) * (PLOT_COLUMNS - 1))
        row = round((highest - value) / (highest - lowest) * (PLOT_ROWS - 1))
        if 0 <= row < PLOT_ROWS and 0 <= column < PLOT_COLUMNS:
            met = {canvas[row][column], mark} == {BEFORE, AFTER}
            canvas[row][column] = BOTH if met else mark

    for column in range(PLOT_COLUMNS):
        place(left + column / (PLOT_COLUMNS - 1) * (right - left), 0.0, ZERO)
    expected = expected_pad(correction)
    for column in range(0, PLOT_COLUMNS, 2):
        age = left + column / (PLOT_COLUMNS - 1) * (right - left)
        place(age, expected(age), FIT)
    for cell in cells:
        place(middle_of(cell), cell.mean, BEFORE)
        place(middle_of(cell), cell.mean_after, AFTER)
    head = f"  PAD by age, years   {BEFORE} before  {AFTER} after  {BOTH} both  {FIT} fit"
    return [head, *_with_axes(canvas, (lowest, highest), step, (left, right))]


def draw_bars(correction: Correction) -> list[str]:
    """Return a line per age, or per five years where there are many: n, mean and SD of PAD."""
    cells = correction.profile if len(correction.profile) <= MOST_ROWS else pool_bands(correction.profile)
    if not cells:
        return []
    most = max(cell.n for cell in cells)
    reach = max(max(abs(cell.mean), abs(cell.mean_after)) for cell in cells) or 1.0
    lines = [f"  {'ages':<7}{'n':>5} {'':<{BAR_COLUMNS}} {'mean PAD, SD before':<30}{'after':>13}"]
    for cell in cells:
        ages = f"{cell.first}" if cell.first == cell.last else f"{cell.first}-{cell.last}"
        lines.append(
            f"  {ages:<7}{cell.n:>5} {_bar(cell.n / most):<{BAR_COLUMNS}} "
            f"{_signed(cell.mean):>6} {cell.sd:>4.1f} {_lean(cell.mean / reach)} "
            f"{_signed(cell.mean_after):>8} {cell.sd_after:>4.1f}"
        )
    return lines


def expected_pad(correction: Correction, fold: FoldFit | None = None) -> Callable[[float], float]:
    """Return the PAD, years, that a correction, or one fold's fit, takes to be the model's bias at an age."""
    fit = fold or correction
    slope, intercept, levels = fit.slope, fit.intercept, fit.levels
    if slope is None or intercept is None:
        return lambda age: _level_at(levels, age).mean
    tilt = slope - 1 if correction.method == "cole" else slope
    return lambda age: tilt * age + intercept


def middle_of(cell: AgeCell) -> float:
    """Return the middle of a cell's ages, years.

    >>> middle_of(AgeCell(60, 61, 5, 0, 0, 0, 0))
    61.0
    """
    return (cell.first + cell.last + 1) / 2


def pool_bands(cells: Sequence[AgeCell]) -> tuple[AgeCell, ...]:
    """Return cells pooled by bands of five years; means and SDs are those of the subjects themselves."""
    bands: dict[int, list[AgeCell]] = {}
    for cell in cells:
        bands.setdefault(cell.first // BAND_YEARS, []).append(cell)
    return tuple(_pool(members) for members in bands.values())


def describe_formula(correction: Correction) -> str:
    """Return what a correction does, with its numbers: O is chronological age, y the raw spine age."""
    if correction.slope is None or correction.intercept is None:
        return f"corrected age = y - mean PAD of the year of age ({len(correction.levels)} years)"
    a, b = f"{correction.slope:.4f}", f"{correction.intercept:.3f}"
    if correction.method == "cole":
        return f"corrected age = (y - b) / a, a = {a}, b = {b} years"
    return f"corrected age = y - (a O + b), a = {a}, b = {b} years"


def _pool(cells: Sequence[AgeCell]) -> AgeCell:
    n = sum(cell.n for cell in cells)
    mean, sd = _pool_moments(n, [(cell.n, cell.mean, cell.sd) for cell in cells])
    mean_after, sd_after = _pool_moments(n, [(cell.n, cell.mean_after, cell.sd_after) for cell in cells])
    return AgeCell(cells[0].first, cells[-1].last, n, mean, sd, mean_after, sd_after)


def _pool_moments(total: int, parts: Sequence[tuple[int, float, float]]) -> tuple[float, float]:
    mean = sum(n * own for n, own, _ in parts) / total
    squares = sum((n - 1) * sd**2 + n * (own - mean) ** 2 for n, own, sd in parts)
    return mean, math.sqrt(squares / (total - 1)) if total > 1 else 0.0


def _level_at(levels: Sequence[AgeLevel], age: float) -> AgeLevel:
    return levels[min(max(math.floor(age) - levels[0].age, 0), len(levels) - 1)]


def _round_step(span: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides a span into about five.

    >>> _round_step(23.0), _round_step(0.9)
    (5.0, 0.2)
    """
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power * 5 >= span)


def _with_axes(
    canvas: Sequence[Sequence[str]], values: tuple[float, float], step: float, ages: tuple[int, int]
) -> Iterator[str]:
    lowest, highest = values
    ticks = {
        round((highest - tick * step) / (highest - lowest) * (PLOT_ROWS - 1)): tick * step
        for tick in range(round(lowest / step), round(highest / step) + 1)
    }
    for row, marks in enumerate(canvas):
        label = f"{_tick(ticks[row]):>7} ┤" if row in ticks else f"{'':>7} │"
        yield f"  {label}{''.join(marks)}".rstrip()
    spacing = 5 if ages[1] - ages[0] <= 40 else 10
    labels, axis = [" "] * (PLOT_COLUMNS + 4), ["─"] * PLOT_COLUMNS
    for age in range(spacing * math.ceil(ages[0] / spacing), ages[1] + 1, spacing):
        column = round((age - ages[0]) / (ages[1] - ages[0]) * (PLOT_COLUMNS - 1))
        axis[column] = "┬"
        labels[column : column + len(str(age))] = str(age)
    yield f"  {'':>7} └{''.join(axis)}"
    yield f"  {'':>8} {''.join(labels)}".rstrip()


def _signed(value: float) -> str:
    """Return a number with its sign and one decimal; what rounds to 0 has none.

    >>> _signed(-0.04), _signed(1.25)
    ('0.0', '+1.2')
    """
    text = f"{value:+.1f}"
    return text[1:] if float(text) == 0 else text


def _tick(value: float) -> str:
    return f"{value:+.4g}" if value else "0"


def _bar(share: float) -> str:
    whole, part = divmod(round(share * BAR_COLUMNS * 8), 8)
    return ("█" * whole + EIGHTHS[part]).rstrip()[:BAR_COLUMNS]


def _lean(share: float) -> str:
    """Return a bar from the middle to the left or right; ``share`` is from -1 to 1."""
    half = MEAN_COLUMNS // 2
    length = round(abs(share) * half)
    left, right = ("█" * length, "") if share < 0 else ("", "█" * length)
    return f"{left:>{half}}│{right:<{half}}"
