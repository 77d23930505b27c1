"""STAR loss: errors weigh less along the directions in which the predicted map is spread (Zhou et al., CVPR 2023).

As in STAR's code, its second version, with two changes. The 2 x 2 eigenproblem is solved in closed form: on the
device, and with a gradient that stays finite where the eigenvalues meet, which that of torch.linalg.eigh does not.
And eigenvalues are kept within 1e-6 .. 100, as STAR's author advises against NaN.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from train.losses.distances import Distance, distance
from train.maps import full_precision, mean_point, second_moments

Restriction = Literal["value", "detach"]
EPSILON = 1e-5  # STAR's code adds it in its denominators


def unbiased_covariance(distribution: Tensor, mean: Tensor) -> Tensor:
    """Return the entries of Eq. 4.

    Args:
        distribution: (..., H, W).
        mean: (..., 2) of the distribution.

    Returns:
        (..., 3) xx, xy, yy.
    """
    total = distribution.sum((-2, -1)) + EPSILON
    squares = distribution.square().sum((-2, -1)) + EPSILON
    return second_moments(distribution, mean) / (total - squares / total)[..., None]


def principal_axes(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues and eigenvectors of Eq. 5.

    A covariance that is round within a thousandth counts as round: its eigenvalues are equal, and its axes those of the
    picture, without a gradient. Any axes are right there, and the slope of theirs would grow without bound.

    Args:
        covariance: (..., 3) xx, xy, yy.

    Returns:
        Eigenvalues (..., 2), rising, and unit eigenvectors (..., 2, 2) as columns.
    """
    xx, xy, yy = covariance.unbind(-1)
    middle, half = (xx + yy) / 2, (xx - yy) / 2
    squared = half.square() + xy.square()
    is_round = squared <= (1e-3 * middle + 1e-6).square()
    radius = squared.masked_fill(is_round, 1).sqrt().masked_fill(is_round, 0)
    angle = torch.atan2(xy.masked_fill(is_round, 0), half.masked_fill(is_round, 1)) / 2  # of the longer axis
    cos, sin = angle.cos(), angle.sin()
    axes = torch.stack([torch.stack([-sin, cos], -1), torch.stack([cos, sin], -1)], -1)
    return torch.stack([middle - radius, middle + radius], -1), axes


def star_loss(
    distribution: Tensor,
    points: Tensor,
    kind: Distance = "smooth_l1",
    restriction: Restriction = "value",
    weight: float = 1.0,
) -> Tensor:
    """Return Eq. 6 with one of its restrictions.

    The error is split along the distribution's two axes, and each part's distance is divided by the spread there.

    Args:
        distribution: (..., H, W).
        points: (..., 2) labels in [-1, 1] over the map's cell middles.
        kind: of distance.
        restriction: keeps the net from spreading its maps to lower the loss. value: weight times the sum of the
            eigenvalues is added; weight 1 is STAR's code, the paper's half sum (Eq. 7) is weight 0.5. detach:
            eigenvalues and axes are constants, and nothing is added (the paper's second restriction).
        weight: of the restriction.

    Returns:
        (...), one value for each map.
    """
    distribution = full_precision(distribution)
    mean = mean_point(distribution)
    eigenvalues, axes = principal_axes(unbiased_covariance(distribution, mean))
    if restriction == "detach":
        eigenvalues, axes, weight = eigenvalues.detach(), axes.detach(), 0.0
    eigenvalues = eigenvalues.clamp(1e-6, 1e2)
    parts = (axes * (points - mean)[..., None]).sum(-2)
    lengths = distance(parts[..., None], kind) / (eigenvalues + EPSILON).sqrt()
    return lengths.sum(-1) + weight * eigenvalues.sum(-1)
