"""What targets, losses and objectives share: precision, the coordinates of cells, the moments of a distribution.

Convention: coordinates are (x, y) in [-1, 1] over the map's cell middles (the first cell's is -1, the last one's 1),
x to the right, y down. A distribution is a map (..., H, W) that is nowhere negative and sums to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(maps: Tensor) -> Tensor:
    """Return the maps in float32, or in float64 if they are. Half precision cannot sum thousands of cells."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32))


def cell_axis(cells: int, like: Tensor) -> Tensor:
    """Return the coordinate of every cell's middle along one side.

    Args:
        cells: along the side.
        like: a tensor of the wanted type and device.

    Returns:
        (cells,).
    """
    return torch.linspace(-1, 1, cells, dtype=like.dtype, device=like.device)


def mean_point(distribution: Tensor) -> Tensor:
    """Return the mean of a distribution (..., H, W), (..., 2): Zhou et al., CVPR 2023, Eq. 1."""
    height, width = distribution.shape[-2:]
    x = (distribution.sum(-2) * cell_axis(width, distribution)).sum(-1)
    y = (distribution.sum(-1) * cell_axis(height, distribution)).sum(-1)
    return torch.stack([x, y], -1)


def second_moments(distribution: Tensor, centre: Tensor) -> Tensor:
    """Return the means of xx, xy and yy, where x, y lead from a centre to a cell.

    Args:
        distribution: (..., H, W).
        centre: (..., 2).

    Returns:
        (..., 3).
    """
    height, width = distribution.shape[-2:]
    dx = cell_axis(width, distribution) - centre[..., 0, None]
    dy = cell_axis(height, distribution) - centre[..., 1, None]
    xx = (distribution.sum(-2) * dx.square()).sum(-1)
    xy = ((distribution * dx[..., None, :]).sum(-1) * dy).sum(-1)
    yy = (distribution.sum(-1) * dy.square()).sum(-1)
    return torch.stack([xx, xy, yy], -1)


def turned(vectors: Tensor) -> Tensor:
    """Return vectors (..., 2) turned by a right angle."""
    return torch.stack([-vectors[..., 1], vectors[..., 0]], -1)
