"""The structured-prediction loss of Yang & Yeh, ICCV 2025, Eq. 9 to 13.

The expectation over labels y' of a distribution G (Eq. 13) comes in two ways, which differ in where the margin lies:
- `structured_loss` is exact and has the margin Delta(y, .) at the label y, whichever cell y' is drawn.
- `sampled_loss` is the paper's mean over 10 cells y' drawn from G, each with its own margin Delta(y', .).
Averaged over draws the second is the first where there is no margin. With one they differ by no more than alpha times
the mean distance of y' to y (Euclidean for smooth_l1, city block for l1): these margins obey the triangle inequality.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from train.losses.distances import smooth_l1
from train.maps import cell_axis, full_precision

Margin = Literal["none", "l1", "l2", "smooth_l1"]


def margin_map(points: Tensor, cells: int, kind: Margin, alpha: float = 1.0, s: float = 0.01) -> Tensor:
    """Return the margin Delta(y, .) of Eq. 12 at every cell.

    Points and cells are in [-1, 1] over the map's cell middles, where alpha = 1 is a weak margin.

    Args:
        points: (..., 2).
        cells: side of the maps.
        kind: l1 is the city block distance, l2 the squared Euclidean one. smooth_l1 is on the Euclidean distance: d^2 /
            2s below s, d - s/2 above (Eq. 12 as printed mixes the two norms).
        alpha: factor of the margin.
        s: of smooth_l1.

    Returns:
        (..., cells, cells).
    """
    points = full_precision(points)
    axis = cell_axis(cells, points)
    if kind == "none":
        return torch.zeros(*points.shape[:-1], cells, cells, dtype=points.dtype, device=points.device)
    dx = axis - points[..., 0, None, None]
    dy = axis[:, None] - points[..., 1, None, None]
    if kind == "l1":
        return alpha * (dx.abs() + dy.abs())
    squared = dx.square() + dy.square()
    return alpha * (squared if kind == "l2" else smooth_l1(squared, s))


def structured_loss(scores: Tensor, distribution: Tensor, margin: Tensor, epsilon: float = 1.0) -> Tensor:
    """Return Eq. 11 in expectation over a label distribution (Eq. 13).

    It is epsilon * log sum exp((Delta + F) / epsilon) - sum G F, and with epsilon 0 its limit max(Delta + F) - sum G F,
    which is Eq. 9. The margin is anchored at the label itself, so the expectation is exact; the gradient is
    softmax((Delta + F) / epsilon) - G.

    Args:
        scores: (..., H, W) F.
        distribution: (..., H, W) G, which sums to 1.
        margin: (..., H, W) Delta.
        epsilon: 0 or more.

    Returns:
        (...), one value for each map.

    Raises:
        ValueError: for a negative epsilon.
    """
    scores = full_precision(scores)
    return _smoothed_max(margin + scores, epsilon) - (distribution * scores).flatten(-2).sum(-1)


def sampled_loss(scores: Tensor, drawn: Tensor, margin: Tensor, epsilon: float = 1.0) -> Tensor:
    """Return Eq. 13 by Monte Carlo, as in the paper: the mean of Eq. 11 over drawn labels.

    Args:
        scores: (..., H, W) F.
        drawn: (..., n) the cells of the labels, see train.targets.drawn_cells.
        margin: (..., n, H, W) that of every drawn label: margin_map(cell_middles(drawn, cells), cells, kind).
        epsilon: as in structured_loss.

    Returns:
        (...), one value for each map.
    """
    scores = full_precision(scores)
    of_drawn = scores.flatten(-2).gather(-1, drawn)
    return (_smoothed_max(margin + scores[..., None, :, :], epsilon) - of_drawn).mean(-1)


def _smoothed_max(values: Tensor, epsilon: float) -> Tensor:
    """Eq. 10 over the last two axes; the gradient of the maximum itself is shared by cells that tie."""
    if epsilon < 0:
        raise ValueError(f"epsilon must be 0 (the hard maximum) or more, got {epsilon}")
    flat = values.flatten(-2)
    return epsilon * (flat / epsilon).logsumexp(-1) if epsilon else flat.amax(-1)
