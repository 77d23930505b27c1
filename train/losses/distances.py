"""Distances between a point found and its label, in [-1, 1] over the map."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["l1", "l2", "smooth_l1", "wing", "wing_star"]
WING = {"wing": (10 / 128, 2 / 128), "wing_star": (0.01, 2.0)}  # omega, epsilon


def _root(squared: Tensor) -> Tensor:
    """The root, whose slope at 0 is kept finite."""
    return squared.clamp_min(1e-24).sqrt()


def smooth_l1(squared: Tensor, s: float = 0.01) -> Tensor:
    """Return d^2 / 2s below s, and d - s/2 above (Zhou et al., CVPR 2023, Eq. 8).

    Args:
        squared: (...) squared Euclidean distances d^2.
        s: where the parabola ends.
    """
    distance = _root(squared)
    return torch.where(distance < s, squared / (2 * s), distance - s / 2)


def wing(squared: Tensor, omega: float, epsilon: float) -> Tensor:
    """Return omega ln(1 + d / epsilon) below omega, and d plus a constant above.

    Args:
        squared: (...) squared Euclidean distances d^2.
        omega: where the logarithm ends.
        epsilon: its width.
    """
    distance = _root(squared)
    constant = omega - omega * math.log1p(omega / epsilon)
    return torch.where(distance < omega, omega * torch.log1p(distance / epsilon), distance - constant)


def distance(error: Tensor, kind: Distance) -> Tensor:
    """Return the length of errors.

    Args:
        error: (..., D).
        kind: l1 sums the absolute values of the coordinates, l2 their squares (no root: Yang & Yeh, ICCV 2025, Eq. 4).
            The others are of the Euclidean norm: smooth_l1 has s = 0.01; wing has omega 10 and epsilon 2 pixels of a
            256-pixel crop, the values of Feng et al., CVPR 2018, so small errors weigh more than in l1; wing_star has
            omega 0.01 and epsilon 2 in [-1, 1], as STAR's code, so errors below 0.01 hardly weigh.

    Returns:
        (...).
    """
    if kind == "l1":
        return error.abs().sum(-1)
    squared = error.square().sum(-1)
    if kind == "l2":
        return squared
    if kind == "smooth_l1":
        return smooth_l1(squared)
    return wing(squared, *WING[kind])
