"""Sensitivity, specificity and predictive values at a cut-off, and reclassification by a larger model."""

from __future__ import annotations

import numpy as np

from spinescore.core.statistics.estimate import (
    BoolArray,
    Estimate,
    FloatArray,
    normal_interval,
    normal_quantile,
)
from spinescore.core.statistics.time_dependent import Horizon, Measure, estimate_measure

SHARES = ("sensitivity", "specificity", "ppv", "npv")
NOBODY = dict(
    zip(
        SHARES,
        ("0 events", "no controls", "nobody above the cut-off", "nobody below the cut-off"),
        strict=True,
    )
)


def estimate_share(count: int, total: int, conf_level: float) -> Estimate:
    """Return a share with Wilson's interval.

    Source: Wilson 1927, JASA 22:209; R's ``prop.test(correct = FALSE)``.

    >>> found = estimate_share(9, 10, 0.95)
    >>> round(found.lower, 4), round(found.upper, 4)
    (0.5958, 0.9821)
    """
    if total == 0:
        return Estimate(problem="no subjects")
    z = normal_quantile(conf_level)
    share = count / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return Estimate(value=share, lower=max(0.0, float(middle - half)), upper=min(1.0, float(middle + half)))


def classify_cases(case: BoolArray, above: BoolArray, conf_level: float) -> dict[str, Estimate]:
    """Return sensitivity, specificity and predictive values of being at or above a cut-off.

    Limits: predictive values are those at the sample's own share of cases.
    """
    right = {"sensitivity": (case, above), "specificity": (~case, ~above)}
    right |= {"ppv": (above, case), "npv": (~above, ~case)}
    found = {}
    for name, (among, which) in right.items():
        total = int(among.sum())
        share = estimate_share(int((among & which).sum()), total, conf_level)
        found[name] = share if total else Estimate(problem=NOBODY[name])
    return found


def classify_at_horizon(horizon: Horizon, above: BoolArray, conf_level: float) -> dict[str, Estimate]:
    """Return the same at a horizon: cases had the event by then, controls did not.

    Estimator: shares of inverse-probability-of-censoring weights; influence by the delta method, G's
    estimation included; normal interval within [0, 1]. Limits: those of ``weigh_horizon``.

    Source: Uno et al. 2007, JASA 102:527; Blanche et al. 2013, Stat Med 32:5381. Sensitivity and specificity
    are points of ``riskRegression::Score``'s ROC curve.
    """
    if horizon.problem:
        return dict.fromkeys(SHARES, Estimate(problem=horizon.problem))
    case, control = horizon.case, horizon.control
    known = case | control
    parts = {"sensitivity": (case, above), "specificity": (control, ~above)}
    parts |= {"ppv": (known & above, case), "npv": (known & ~above, control)}
    found = {}
    for name, (among, which) in parts.items():
        weight = np.where(among, horizon.weight, 0.0)
        if not weight.sum() > 0:
            found[name] = Estimate(problem=NOBODY[name])
            continue
        share, direct = _mean(weight, which.astype(np.float64))
        found[name] = estimate_measure(Measure(share, horizon.influence(direct)), conf_level)
    return found


def _mean(weight: FloatArray, values: FloatArray) -> tuple[float, FloatArray]:
    """Return a weighted mean, and its derivative with respect to each subject's part in it."""
    total = float(weight.sum())
    mean = float(np.sum(weight * values)) / total
    return mean, weight * (values - mean) / total


def reclassify_cases(
    case: BoolArray, before: FloatArray, after: FloatArray, conf_level: float
) -> dict[str, Estimate]:
    """Return IDI and continuous NRI of one set of risks against another, without p.

    ``idi``: mean rise of risk in cases less that in controls. ``continuous_nri``: share of cases whose risk
    rises less that of those whose risk falls, plus the same of controls the other way round.
    Limits: the standard errors take both models as known, which is too small where they were fitted to these
    subjects; a useless marker raises the NRI (Hilden and Gerds 2014, Stat Med 33:3405): neither is a test.

    Source: Pencina et al. 2008, Stat Med 27:157, and 2011, Stat Med 30:11; ``Hmisc::improveProb``.
    """
    change = after - before
    rise, fall = change[case], change[~case]
    if min(len(rise), len(fall)) < 2:
        return dict.fromkeys(("idi", "continuous_nri"), Estimate(problem="one class"))
    signs = np.sign(rise), np.sign(fall)
    idi = float(rise.mean() - fall.mean())
    idi_se = float(np.sqrt(rise.var(ddof=1) / len(rise) + fall.var(ddof=1) / len(fall)))
    nri = float(signs[0].mean() - signs[1].mean())
    nri_se = float(np.sqrt(sum(s.var() / len(s) for s in signs)))
    return {
        "idi": normal_interval(idi, idi_se, conf_level),
        "continuous_nri": normal_interval(nri, nri_se, conf_level),
    }


def reclassify_at_horizon(
    horizon: Horizon, before: FloatArray, after: FloatArray, conf_level: float
) -> dict[str, Estimate]:
    """Return IDI and continuous NRI at a horizon, by inverse-probability-of-censoring weights.

    Limits: as ``reclassify_cases`` and ``weigh_horizon``.

    Source: Pencina et al. 2011; Uno et al. 2013, Stat Med 32:2430 (with Kaplan-Meier's weights).
    """
    change = after - before
    found = {}
    for name, values in (("idi", change), ("continuous_nri", np.sign(change))):
        if horizon.problem:
            found[name] = Estimate(problem=horizon.problem)
            continue
        parts = [
            _mean(np.where(group, horizon.weight, 0.0), values) for group in (horizon.case, horizon.control)
        ]
        influence = horizon.influence(parts[0][1] - parts[1][1])
        measure = Measure(parts[0][0] - parts[1][0], influence)
        found[name] = estimate_measure(measure, conf_level, bounded=False)
    return found
