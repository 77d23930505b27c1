"""Heatmap regression: the mean squared error against Gaussians (Yang & Yeh, ICCV 2025, Eq. 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.maps import cell_axis, full_precision


def gaussian_map(points: Tensor, cells: int, sigma_cells: float) -> Tensor:
    """(..., cells, cells) Gaussians of peak 1 at labels (..., 2), which need not be at a cell's middle.

    Labels are in [-1, 1] over the map's cell middles, sigma_cells is in cells. Far outside, the map is empty.
    """
    points = full_precision(points)
    offsets = (cell_axis(cells, points) - points[..., None]) * ((cells - 1) / 2)
    x, y = torch.exp(-offsets.square() / (2 * sigma_cells**2)).unbind(-2)
    return y[..., :, None] * x[..., None, :]


def heatmap_loss(maps: Tensor, target: Tensor) -> Tensor:
    """The mean over the cells of the squared difference of (..., H, W): one value for each map, (...).

    Eq. 2 is the sum, which is the number of cells times as much.
    """
    return (full_precision(maps) - target).square().mean((-2, -1))
