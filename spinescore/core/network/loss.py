"""The mean-variance loss (Pan et al., CVPR 2018; METHOD.md, Loss)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class MeanVarianceLoss:
    """The loss and its parts, each a scalar tensor; ``total`` is what is minimised.

    ``absolute_error`` is the mean of |m_i - y_i| in years: no part of the loss, but what it is for.
    """

    total: Tensor
    cross_entropy: Tensor
    mean: Tensor
    variance: Tensor
    absolute_error: Tensor


def mean_variance_loss(
    logits: Tensor,
    age_years: Tensor,
    *,
    first_age: int,
    mean_weight: float = 0.2,
    variance_weight: float = 0.05,
) -> MeanVarianceLoss:
    """Return L = CE + l1 * 1/(2N) sum (m_i - y_i)^2 + l2 * 1/N sum v_i.

    Parameters
    ----------
    logits : Tensor, shape (N, K)
        The network's output.
    age_years : Tensor, shape (N,)
        Chronological age in decimal years; the class is floor(age) - first_age.
    first_age : int
        Age of the first class, years.
    mean_weight, variance_weight : float
        l1 and l2 of Pan et al.

    Returns
    -------
    MeanVarianceLoss
        The total, its three unweighted parts, and the mean absolute error.
    """
    n_classes = logits.shape[1]
    logits = logits.float()
    target = (age_years.floor().long() - first_age).clamp(0, n_classes - 1)
    ages = torch.arange(first_age, first_age + n_classes, device=logits.device, dtype=torch.float32)
    p = logits.softmax(dim=1)
    m = p @ ages
    cross_entropy = functional.cross_entropy(logits, target)
    mean = 0.5 * (m - age_years).square().mean()
    variance = (p * (ages - m[:, None]).square()).sum(dim=1).mean()
    total = cross_entropy + mean_weight * mean + variance_weight * variance
    absolute_error = (m.detach() - age_years).abs().mean()
    return MeanVarianceLoss(total, cross_entropy, mean, variance, absolute_error)
