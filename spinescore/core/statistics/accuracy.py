"""How near spine age comes to chronological age: error, agreement, and the line through both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from spinescore.core.statistics.estimate import (
    Estimate,
    FloatArray,
    normal_interval,
    normal_quantile,
)


@dataclass(frozen=True, slots=True)
class Line:
    """Least squares of y on x: what an interval of its mean needs."""

    slope: float
    intercept: float
    residual_sd: float
    x_mean: float
    x_squares: float
    n: int


def measure_accuracy(age: FloatArray, spine_age: FloatArray, conf_level: float) -> dict[str, Estimate]:
    """Return every statistic of agreement of spine age (y) with chronological age (O), by name.

    MAE, RMSE, mean and SD of PAD = y - O, Pearson's r, R2 = 1 - SSE/SST (negative where y is worse than the
    mean age), Lin's concordance (divisor n), slope and intercept of y on O, Bland-Altman limits.
    Limits: all None below 3 subjects; those that need spread are None where age or y is constant.
    """
    n = len(age)
    if n < 3:
        return {name: Estimate(problem=f"{n} subjects") for name in STATISTICS}
    pad = spine_age - age
    absolute = np.abs(pad)
    found = {
        "mae": normal_interval(float(absolute.mean()), _sd(absolute) / math.sqrt(n), conf_level),
        "rmse": Estimate(value=math.sqrt(float(np.mean(pad**2)))),
        "mean_pad": _mean(pad, conf_level),
        "sd_pad": Estimate(value=_sd(pad)),
        **_limits_of_agreement(pad, conf_level),
    }
    if float(np.ptp(age)) == 0 or float(np.ptp(spine_age)) == 0:
        return {**{name: Estimate(problem="constant predictor") for name in STATISTICS}, **found}
    squares = float(np.sum((age - age.mean()) ** 2))
    r = float(np.corrcoef(age, spine_age)[0, 1])
    return {
        **found,
        "r": _correlation(r, n, conf_level),
        "r2": Estimate(value=1 - float(np.sum(pad**2)) / squares),
        "ccc": _concordance_correlation(age, spine_age, r, conf_level),
        **_coefficients(fit_line(age, spine_age), conf_level),
    }


STATISTICS = (
    "mae",
    "rmse",
    "mean_pad",
    "sd_pad",
    "r",
    "r2",
    "ccc",
    "slope",
    "intercept",
    "loa_lower",
    "loa_upper",
)


def _sd(values: FloatArray) -> float:
    return float(values.std(ddof=1))


def _mean(values: FloatArray, conf_level: float) -> Estimate:
    n, mean = len(values), float(values.mean())
    se = _sd(values) / math.sqrt(n)
    half = float(student.ppf(0.5 + conf_level / 2, n - 1)) * se
    p = float(2 * student.sf(abs(mean) / se, n - 1)) if se > 0 else None
    return Estimate(value=mean, se=se, lower=mean - half, upper=mean + half, p_value=p, df=float(n - 1))


def _limits_of_agreement(pad: FloatArray, conf_level: float) -> dict[str, Estimate]:
    """Mean -+ z SD, with Bland and Altman's (1999) approximate standard error."""
    n, sd, z = len(pad), _sd(pad), normal_quantile(conf_level)
    se = sd * math.sqrt(1 / n + z**2 / (2 * (n - 1)))
    half = float(student.ppf(0.5 + conf_level / 2, n - 1)) * se
    limits = {"loa_lower": float(pad.mean()) - z * sd, "loa_upper": float(pad.mean()) + z * sd}
    return {
        name: Estimate(value=value, se=se, lower=value - half, upper=value + half)
        for name, value in limits.items()
    }


def _correlation(r: float, n: int, conf_level: float) -> Estimate:
    if n < 4 or abs(r) >= 1 - 1e-15:
        return Estimate(value=r)
    half = normal_quantile(conf_level) / math.sqrt(n - 3)
    t = r * math.sqrt((n - 2) / (1 - r * r))
    return Estimate(
        value=r,
        lower=math.tanh(math.atanh(r) - half),
        upper=math.tanh(math.atanh(r) + half),
        p_value=float(2 * student.sf(abs(t), n - 2)),
        df=float(n - 2),
    )


def _concordance_correlation(x: FloatArray, y: FloatArray, r: float, conf_level: float) -> Estimate:
    """Lin 1989, Biometrics 45:255 (variance as corrected in 2000, 56:324), interval by Fisher's z."""
    n = len(x)
    difference, product = float(y.mean() - x.mean()), float(x.std() * y.std())
    ccc = 2 * r * product / (float(x.var() + y.var()) + difference**2)
    if n < 4 or abs(r) >= 1 - 1e-12 or abs(r) < 1e-12:
        return Estimate(value=ccc)
    u2, rest = difference**2 / product, 1 - ccc**2
    variance = (1 - r**2) * ccc**2 / (rest * r**2)
    variance += 2 * ccc**3 * (1 - ccc) * u2 / (r * rest**2)
    variance -= ccc**4 * u2**2 / (2 * r**2 * rest**2)
    se = math.sqrt(max(variance, 0.0) / (n - 2))
    half = normal_quantile(conf_level) * se
    z = math.atanh(ccc)
    return Estimate(value=ccc, se=se, lower=math.tanh(z - half), upper=math.tanh(z + half))


def fit_line(x: FloatArray, y: FloatArray) -> Line:
    """Fit y = intercept + slope x by least squares; x must vary and n exceed 2."""
    x_mean = float(x.mean())
    squares = float(np.sum((x - x_mean) ** 2))
    slope = float(np.sum((x - x_mean) * (y - y.mean()))) / squares
    intercept = float(y.mean()) - slope * x_mean
    residual = y - intercept - slope * x
    return Line(
        slope, intercept, math.sqrt(float(np.sum(residual**2)) / (len(x) - 2)), x_mean, squares, len(x)
    )


def _coefficients(line: Line, conf_level: float) -> dict[str, Estimate]:
    quantile = float(student.ppf(0.5 + conf_level / 2, line.n - 2))
    ses = {
        "slope": line.residual_sd / math.sqrt(line.x_squares),
        "intercept": line.residual_sd * math.sqrt(1 / line.n + line.x_mean**2 / line.x_squares),
    }
    values = {"slope": line.slope, "intercept": line.intercept}
    return {
        name: Estimate(
            value=values[name],
            se=se,
            lower=values[name] - quantile * se,
            upper=values[name] + quantile * se,
            df=float(line.n - 2),
        )
        for name, se in ses.items()
    }


def draw_line(line: Line, x: FloatArray, conf_level: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the line and the confidence interval of its mean at each x."""
    y = line.intercept + line.slope * x
    se = line.residual_sd * np.sqrt(1 / line.n + (x - line.x_mean) ** 2 / line.x_squares)
    half = float(student.ppf(0.5 + conf_level / 2, line.n - 2)) * se
    return y, y - half, y + half
