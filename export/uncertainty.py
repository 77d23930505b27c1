"""Covariances as wide as a net's errors are.

A net that learns labels of a certain width answers with that width even where it is sure, so what it is unsure of lies
on top. What is on top is the variance of its errors: that of the labels is taken off, fitted on validation faces.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

LEAST_PX2 = 1e-3  # a variance that no net's errors fall below


class Spread(NamedTuple):
    """In squared pixels of the crop. label_px2: what every covariance holds of the labels' own width, in every
    direction. floor_px2: the least variance that is answered in any direction."""

    label_px2: float
    floor_px2: float


NOTHING = Spread(0.0, 0.0)


def narrowed(covariances: Tensor, spread: Spread) -> Tensor:
    """Covariances (..., 3) xx, xy, yy with both eigenvalues less by label_px2, to floor_px2 at least.

    Along the same axes; in closed form, and in few operations, each of which costs an engine a microsecond.
    """
    xx, xy, yy = torch.split(covariances, 1, -1)
    trace, across, slant = xx + yy, xx - yy, xy + xy
    gap = (across * across + slant * slant).sqrt()  # between the eigenvalues
    twice = (torch.cat([trace - gap, trace + gap], -1) - 2 * spread.label_px2).clamp_min(2 * spread.floor_px2)
    small, large = torch.split(twice, 1, -1)
    middle, shrink = small + large, (large - small) / gap.clamp_min(1e-9)
    across = shrink * across
    return torch.cat([middle + across, shrink * slant, middle - across], -1) * 0.25


def fit_spread(errors_px: Tensor, covariances: Tensor) -> Spread:
    """The spread under which errors (N, 2) are likeliest as Gaussians of the narrowed covariances (N, 3)."""
    errors, wide = errors_px.double(), covariances.double()
    most = float(wide[:, [0, 2]].mean())

    def cost(place: NDArray[np.float64]) -> float:
        return _surprise(errors, narrowed(wide, _spread(place))) if place[0] >= 0 else math.inf

    start = np.array([0.7 * most, math.log(max(LEAST_PX2, float(errors.square().mean()) / 4))])
    found = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6})
    label, floor = _spread(found.x)
    return Spread(float(f"{label:.4g}"), float(f"{floor:.4g}"))


def _spread(place: NDArray[np.float64]) -> Spread:
    return Spread(float(place[0]), max(LEAST_PX2, math.exp(place[1])))


def squared_sigmas(errors_px: Tensor, covariances: Tensor) -> Tensor:
    """(N,) the squared Mahalanobis distance of errors (N, 2) under covariances (N, 3): 2 on the mean if they fit."""
    (x, y), (xx, xy, yy) = errors_px.unbind(-1), covariances.unbind(-1)
    return (yy * x * x - 2 * xy * x * y + xx * y * y) / (xx * yy - xy * xy)


def _surprise(errors: Tensor, covariances: Tensor) -> float:
    """The mean negative logarithm of the errors' density, but for a constant."""
    xx, xy, yy = covariances.unbind(-1)
    determinant = xx * yy - xy * xy
    return float((determinant.log() + squared_sigmas(errors, covariances)).mean() / 2)
