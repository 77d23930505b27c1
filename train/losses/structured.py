"""The structured-prediction loss of Yang & Yeh, ICCV 2025, Eq. 11 to 13."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Margin = Literal["none", "l1", "l2", "smooth_l1"]


def margin_map(points: Tensor, cells: int, kind: Margin, alpha: float = 1.0, s: float = 0.01) -> Tensor:
    """The margin Delta(y, .) of Eq. 12 at every cell: (..., cells, cells) for points (..., 2).

    Points and cells are in [-1, 1] over the map's cell middles, where alpha = 1 is a weak margin. smooth_l1 is on
    the Euclidean distance: d^2 / 2s below s, d - s/2 above.
    """
    axis = torch.linspace(-1, 1, cells, dtype=points.dtype, device=points.device)
    if kind == "none":
        return torch.zeros(*points.shape[:-1], cells, cells, dtype=points.dtype, device=points.device)
    dx = axis - points[..., 0, None, None]
    dy = axis[:, None] - points[..., 1, None, None]
    squared = dx.square() + dy.square()
    if kind == "l1":
        return alpha * (dx.abs() + dy.abs())
    if kind == "l2":
        return alpha * squared
    distance = squared.clamp_min(1e-12).sqrt()
    return alpha * torch.where(distance < s, squared / (2 * s), distance - s / 2)


def structured_loss(scores: Tensor, distribution: Tensor, margin: Tensor, epsilon: float = 1.0) -> Tensor:
    """Eq. 11 in expectation over a label distribution (Eq. 13): one value for each map, (...).

    scores F, distribution G (summing to 1) and margin Delta are (..., H, W):
    epsilon * log sum exp((Delta + F) / epsilon) - sum G F. The margin is anchored at the label itself, so the
    expectation is exact; its gradient is softmax((Delta + F) / epsilon) - G.
    """
    augmented = ((margin + scores) / epsilon).flatten(-2).logsumexp(-1)
    return epsilon * augmented - (distribution * scores).flatten(-2).sum(-1)
