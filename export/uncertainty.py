"""Correction of covariances, so that they match a net's errors.

A net that is trained on labels of a certain width predicts at least that width, even if it is certain; its uncertainty
is added to it. So the variance of the labels, fitted on validation faces, is subtracted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

LEAST_PX2 = 1e-3  # a lower bound of the variance of any net's errors


class Spread(NamedTuple):
    """The correction, in squared pixels of the crop.

    Attributes:
        label_px2: the variance of the labels in every direction, which is subtracted.
        floor_px2: the lower limit of the variance in every direction.
        scale: factor on the deviations after that.
    """

    label_px2: float
    floor_px2: float
    scale: float = 1.0


NOTHING = Spread(0.0, 0.0)


def narrowed(covariances: Tensor, spread: Spread) -> Tensor:
    """Subtract label_px2 from both eigenvalues of covariances, down to floor_px2, and scale them.

    The eigenvectors do not change.

    The closed form has few operations, each of which costs an engine a microsecond.

    Args:
        covariances: (..., 3) xx, xy, yy.
        spread: the correction.

    Returns:
        (..., 3) xx, xy, yy.
    """
    xx, xy, yy = torch.split(covariances, 1, -1)
    direction = torch.cat([xx - yy, xy + xy], -1)
    gap = direction.norm(dim=-1, keepdim=True)  # between the eigenvalues
    trace = xx + yy - 2 * spread.label_px2
    small, large = (twice.clamp_min(2 * spread.floor_px2) for twice in (trace - gap, trace + gap))
    middle, direction = small + large, direction * ((large - small) / gap.clamp_min(1e-9))
    across, slant = torch.split(direction, 1, -1)
    return torch.cat([middle + across, slant, middle - across], -1) * (0.25 * spread.scale**2)


def fit_spread(errors_px: Tensor, covariances: Tensor) -> Spread:
    """Return the maximum-likelihood correction, for Gaussian errors with the narrowed covariances.

    Args:
        errors_px: (N, 2) pixels of the crop.
        covariances: (N, 3) xx, xy, yy.
    """
    errors, wide = errors_px.double(), covariances.double()
    most = float(wide[:, [0, 2]].mean())

    def cost(place: NDArray[np.float64]) -> float:
        return _negative_log_likelihood(errors, narrowed(wide, _spread(place))) if place[0] >= 0 else math.inf

    start = np.array([0.7 * most, math.log(max(LEAST_PX2, float(errors.square().mean()) / 4))])
    found = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6})
    spread = _spread(found.x)
    return Spread(float(f"{spread.label_px2:.4g}"), float(f"{spread.floor_px2:.4g}"))


def _spread(place: NDArray[np.float64]) -> Spread:
    return Spread(float(place[0]), max(LEAST_PX2, math.exp(place[1])))


def squared_sigmas(errors_px: Tensor, covariances: Tensor) -> Tensor:
    """Return the squared Mahalanobis distances (N,); their mean is 2 if the covariances match the errors.

    Args:
        errors_px: (N, 2).
        covariances: (N, 3) xx, xy, yy.
    """
    (x, y), (xx, xy, yy) = errors_px.unbind(-1), covariances.unbind(-1)
    determinant = (xx * yy - xy * xy).clamp_min(torch.finfo(xx.dtype).tiny)
    return (yy * x * x - 2 * xy * x * y + xx * y * y) / determinant


def _negative_log_likelihood(errors: Tensor, covariances: Tensor) -> float:
    """Return the mean over the errors, up to a constant."""
    xx, xy, yy = covariances.unbind(-1)
    determinant = xx * yy - xy * xy
    return float((determinant.log() + squared_sigmas(errors, covariances)).mean() / 2)
