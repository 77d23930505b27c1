"""Anisotropic direction loss: errors across a boundary curve weigh more than along it (ADNet, ICCV 2021, its code)."""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.distances import smooth_l1
from train.maps import full_precision, second_moments, turned


def anisotropy_of_maps(distribution: Tensor, found: Tensor, normals: Tensor) -> Tensor:
    """Return lambda as ADNet trains with it (mode 3 of its code): mean squares along the curve over those across.

    Args:
        distribution: (..., H, W) the last stack's attention masks or maps.
        found: (..., 2) the last stack's points.
        normals: (..., 2) of the curves, see train.targets.normals.

    Returns:
        (...) in 1..9, without a gradient; all stacks share it.
    """
    xx, xy, yy = second_moments(full_precision(distribution).detach(), found.detach()).unbind(-1)
    x, y = normals.unbind(-1)
    across = xx * x * x + 2 * xy * x * y + yy * y * y
    along = xx * y * y - 2 * xy * x * y + yy * x * x
    return (along / across.clamp_min(1e-6)).clamp(1, 9)


def anisotropic_loss(found: Tensor, points: Tensor, normals: Tensor, anisotropy: float | Tensor = 2.0) -> Tensor:
    """Return the smooth l1 of the root of alpha n^2 + beta t^2.

    n and t are the error across and along the curve, alpha = 2 lambda / (lambda + 1), beta = 2 / (lambda + 1).
    Coordinates are in [-1, 1] over the map's cell middles. Points without a normal (0, 0) have the plain smooth l1.

    Args:
        found: (..., 2) points found.
        points: (..., 2) labels.
        normals: (..., 2) of the curves at the labels.
        anisotropy: lambda: 2, the paper's constant, or a tensor (...) of anisotropy_of_maps, as in ADNet's code.

    Returns:
        (...), one value for each point.
    """
    error = full_precision(found) - points
    across = (error * normals).sum(-1).square()
    along = (error * turned(normals)).sum(-1).square()
    weighed = (2 * anisotropy * across + 2 * along) / (anisotropy + 1)
    return smooth_l1(torch.where(normals.any(-1), weighed, error.square().sum(-1)))
