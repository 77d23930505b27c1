"""Heatmap in heatmap: one map for the cell, a small one for the place in it (Lan et al., HIH, Eq. 1 to 4).

The decimal map of D x D cells divides one cell of the integer map. Paper and code disagree on where its cell j is:

    middles  at (j + 0.5) / D: the D decimal cells fill the cell, a point lies in one of them (the paper's floor, Eq. 2)
             and is at most half a decimal cell, in x and in y, from its middle. The paper's Eq. 4 answers their first
             edge, j / D, instead, twice as far off and always to the left and above.
    edges    at j / D: the code rounds to the nearest edge and answers it. The last edge, 1, has no cell, so a point in
             the last half of a decimal cell is answered with (D - 1) / D, up to a whole decimal cell off.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from train.codecs import integer
from train.codecs.decoders import WINDOW, highest
from train.codecs.gaussian import find_peaks, heatmap

Places = Literal["middles", "edges"]
FIRST: dict[Places, float] = {"middles": 0.5, "edges": 0.0}  # the first decimal cell's place, in decimal cells


def encode(
    points_px: Tensor,
    cells: int,
    stride: int,
    sigma_cells: float = 1.5,
    decimals: int = 8,
    sigma_decimals: float = 1.0,
    places: Places = "middles",
) -> tuple[Tensor, Tensor]:
    """Return points as integer maps and decimal maps.

    Both Gaussians are cut at 3 sigma. A point outside the map lies at the border of the nearest cell.

    Args:
        points_px: (..., 2).
        cells: side of the integer maps.
        stride: pixels per cell.
        sigma_cells: width of the integer map's Gaussian; the paper has 1.5, and 1 for 300W.
        decimals: side of the decimal maps; the paper has 8, and tries 4 and 16.
        sigma_decimals: width of the decimal map's Gaussian in decimal cells; 0 is the hard label, 1 in the decimal cell
            and 0 in the others.
        places: where decimal cells lie, see above.

    Returns:
        (..., cells, cells) and (..., decimals, decimals), of peak 1.
    """
    _, fraction = integer.split(points_px, cells, stride)
    decimal = (fraction * decimals - FIRST[places] + 0.5).floor().clamp(0, decimals - 1)
    if sigma_decimals == 0:
        return integer.encode(points_px, cells, stride, sigma_cells), heatmap(decimal, decimals, 1.0, 0.0)
    maps = heatmap(decimal, decimals, sigma_decimals, integer.REACH * sigma_decimals)
    return integer.encode(points_px, cells, stride, sigma_cells), maps


def decode(
    logits: Tensor, decimal_maps: Tensor, stride: int, window: int = WINDOW, places: Places = "middles"
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode integer maps and decimal maps (Eq. 4).

    Of the decimal maps only the highest cell counts, so they may be heatmaps, or logits as the coordinate
    soft-classification loss makes them.

    Args:
        logits: (N, K, H, W) of the integer maps.
        decimal_maps: (N, K, D, D).
        stride: pixels per cell.
        window: side in cells, for scores and covariances.
        places: where decimal cells lie, see above.

    Returns:
        Points, scores and covariances as train.codecs.integer.join.
    """
    decimals = find_peaks(decimal_maps)
    size = torch.tensor([*reversed(decimals.size)], dtype=torch.float32, device=logits.device)
    return integer.join(find_peaks(logits), (highest(decimals) + FIRST[places]) / size, stride, window)
