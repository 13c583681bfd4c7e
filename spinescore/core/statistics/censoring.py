"""How likely it is to be still uncensored: what inverse-probability weights divide by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp


@dataclass(frozen=True, slots=True)
class CensoringCurve:
    """Kaplan-Meier estimate of staying uncensored; at a tie events leave before censorings.

    Parameters
    ----------
    times : array of shape (m,)
        Distinct exit times.
    inverse : integer array of shape (n,)
        Each subject's exit among them.
    censored : boolean array of shape (n,)
    at_risk, censorings : integer arrays of shape (m,)
        Under observation just before each time, events of that time included; censored at it.
    uncensored : array of shape (m + 1,)
        Probability of being uncensored just before each time; the last: after all of them.
    """

    times: FloatArray
    inverse: IntArray
    censored: BoolArray
    at_risk: IntArray
    censorings: IntArray
    uncensored: FloatArray


def estimate_censoring(follow_up: FollowUp) -> CensoringCurve:
    """Estimate the distribution of censoring times; without left truncation."""
    times, inverse = np.unique(follow_up.exit, return_inverse=True)
    censored = follow_up.status == 0
    events = np.bincount(inverse[~censored], minlength=len(times))
    censorings = np.bincount(inverse[censored], minlength=len(times))
    at_risk = len(inverse) - np.concatenate([[0], np.cumsum(events + censorings)[:-1]])
    staying = at_risk - events
    share = np.divide(censorings, staying, out=np.zeros(len(times)), where=staying > 0)
    uncensored = np.concatenate([[1.0], np.cumprod(1 - share)])
    return CensoringCurve(times, inverse, censored, at_risk, censorings, uncensored)
