"""Heatmap regression: the mean squared error against Gaussians (Yang & Yeh, ICCV 2025, Eq. 2)."""

from __future__ import annotations

from torch import Tensor

from train.maps import full_precision


def heatmap_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Return the mean over the cells of the squared difference. Eq. 2 is the sum, the number of cells times as much.

    Args:
        maps: (..., H, W).
        target: (..., H, W).

    Returns:
        (...), one value for each map.
    """
    return (full_precision(maps) - target).square().mean((-2, -1))
