"""Heatmaps drawn at labels: Gaussians of peak 1, and the point maps of STAR's code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from train.codecs.gaussian import heatmap
from train.maps import full_precision

STAR_SIGMA_PX = 1.5


def gaussian_map(points: Tensor, cells: int, sigma_cells: float) -> Tensor:
    """Return Gaussians of peak 1 at labels, which need not be at a cell's middle. Far outside, the map is empty.

    Args:
        points: (..., 2) labels in [-1, 1] over the map's cell middles.
        cells: side of the maps.
        sigma_cells: width in cells.

    Returns:
        (..., cells, cells).
    """
    return heatmap((full_precision(points) + 1) * ((cells - 1) / 2), cells, sigma_cells)


def star_point_map(points_px: Tensor, cells: int, stride: int) -> Tensor:
    """Return the point maps of STAR's code.

    A Gaussian of 1.5 pixels and peak 1 at the nearest pixel, over the 10 x 10 pixels from 5 before it to 4 behind it,
    points outside the crop being moved to its border; then read off by bilinear interpolation at the middles of cells,
    without averaging. At stride 4 that is the inner 2 x 2 of 4 x 4 pixels, so it peaks at 0.81, 0.55 or 0.37, by how
    many of x and y fall on an outer pixel of their cell. Within 4.5 pixels of the left or top border the code rounds up
    instead, which is kept.

    Args:
        points_px: (..., 2) labels in pixels of the crop.
        cells: side of the maps.
        stride: pixels per cell.

    Returns:
        (..., cells, cells).
    """
    points = full_precision(points_px).clamp(0, cells * stride - 1)[..., None, None]  # (..., 2, 1, 1)
    before, after = (points - 3 * STAR_SIGMA_PX).trunc(), (points + 3 * STAR_SIGMA_PX + 1).trunc()
    middles = [(cell + 0.5) * stride - 0.5 for cell in range(cells)]
    pixels = points.new_tensor([[math.floor(m) for m in middles], [math.ceil(m) for m in middles]])
    values = torch.exp(-((pixels - before - 5) / STAR_SIGMA_PX).square() / 2)
    drawn = (pixels >= before) & (pixels < after)
    x, y = (values * drawn).mean(-2).unbind(-2)  # over the two pixels: the bilinear value halfway
    return y[..., :, None] * x[..., None, :]
