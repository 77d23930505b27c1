"""Heatmaps that are Gaussians at the real coordinate, read by a local soft-argmax (Bulat et al., BMVC 2021)."""

from __future__ import annotations

from torch import Tensor

from train.codecs import gaussian
from train.codecs.gaussian import cells_from_pixels, heatmap

TEMPERATURE = 10.0
PATCH = 5  # cells


def encode(points_px: Tensor, cells: int, stride: int, sigma_cells: float = 1.0) -> Tensor:
    """Return points as heatmaps of peak 1 at the point itself, not rounded (Eq. 1 and 3).

    Eq. 1 as printed has a peak of 1 / (2 pi sigma^2), which at their temperature of 10 would leave the local
    soft-argmax up to 0.32 cells off, twice as far. Sigma is not stated: 1 cell is what 5 x 5 cells hold.

    The arguments are those of train.codecs.gaussian.encode.

    Returns:
        (..., cells, cells).
    """
    return heatmap(cells_from_pixels(points_px, stride), cells, sigma_cells)


def decode(
    maps: Tensor, stride: int, window: int = PATCH, temperature: float = TEMPERATURE
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode heatmaps by the softmax of temperature times the map in a window around the highest cell (Eq. 4 and 5).

    Offsets count from the window's middle: the paper's l = d / 2 would be that for indices from 0.5 on. A window that
    would stick out is moved inside the map. This is no inverse of encode: a Gaussian of 1 cell comes back up to 0.15
    cells off in x and in y; at a temperature of 5 it would be 0.064.

    Args:
        maps: (N, K, H, W) heatmaps, not their logarithms.
        stride: pixels per cell.
        window: side in cells.
        temperature: tau.

    Returns:
        Points, scores and covariances as train.codecs.gaussian.decode.
    """
    return gaussian.decode(temperature * maps.float(), stride, window)
