"""Regression of the point that soft-argmax reads from a map: what STAR is built on and Yang & Yeh compare with."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from train.losses.distances import Distance, distance
from train.maps import full_precision, mean_point

Reading = Literal["softmax", "linear"]


def as_distribution(maps: Tensor, reading: Reading, beta: float = 1.0) -> Tensor:
    """Return maps as distributions over their cells, in float32 or float64. Papers say soft-argmax for both readings.

    Args:
        maps: (..., H, W).
        reading: softmax, of beta times the maps (Yang & Yeh, ICCV 2025, Eq. 3, where beta is 1); or linear, the
            positive part of the maps divided by its sum (ADNet's and STAR's code), where beta does not matter. If
            nothing is positive, linear gives zeros without a gradient: those nets bring every map to mean 0 and
            variance 1 first.
        beta: of the softmax.

    Returns:
        (..., H, W).
    """
    maps = full_precision(maps)
    if reading == "softmax":
        return torch.softmax((beta * maps).flatten(-2), -1).reshape(maps.shape)
    positive = maps.relu()
    return positive / positive.sum((-2, -1), keepdim=True).clamp_min(1e-6)


def soft_argmax_loss(distribution: Tensor, points: Tensor, kind: Distance = "l2") -> Tensor:
    """Return the distance from the mean of each map to its label: Yang & Yeh's Eq. 4, Zhou et al., CVPR 2023, Eq. 2.

    Args:
        distribution: (..., H, W).
        points: (..., 2) labels in [-1, 1] over the map's cell middles.
        kind: of distance; l2 is Yang & Yeh's.

    Returns:
        (...), one value for each map.
    """
    return distance(mean_point(full_precision(distribution)) - points, kind)
