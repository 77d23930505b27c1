"""Anisotropic direction loss: errors across a boundary curve weigh more than along it (ADNet, ICCV 2021, its code)."""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.distances import smooth_l1
from train.maps import full_precision, second_moments, turned


def anisotropy_of_maps(distribution: Tensor, found: Tensor, normals: Tensor) -> Tensor:
    """(...) lambda as ADNet trains with it (its mode 3): mean squares along the curve over those across, in 1 .. 9.

    distribution (..., H, W): of the last stack's attention masks or maps; found (..., 2): the last stack's points;
    normals (..., 2). All stacks share the answer, which has no gradient.
    """
    xx, xy, yy = second_moments(full_precision(distribution).detach(), found.detach()).unbind(-1)
    x, y = normals.unbind(-1)
    across = xx * x * x + 2 * xy * x * y + yy * y * y
    along = xx * y * y - 2 * xy * x * y + yy * x * x
    return (along / across.clamp_min(1e-6)).clamp(1, 9)


def anisotropic_loss(found: Tensor, points: Tensor, normals: Tensor, anisotropy: float | Tensor = 2.0) -> Tensor:
    """Smooth l1 of the root of alpha n^2 + beta t^2, for points found and labels (..., 2): one value a point, (...).

    n and t are the error across and along the curve, alpha = 2 lambda / (lambda + 1), beta = 2 / (lambda + 1).
    Coordinates are in [-1, 1] over the map's cell middles. anisotropy, lambda: 2 is the paper's constant, a tensor
    (...) from `anisotropy_of_maps` what ADNet's code trains with. Points without a normal (0, 0) have the plain
    smooth l1.
    """
    error = full_precision(found) - points
    across = (error * normals).sum(-1).square()
    along = (error * turned(normals)).sum(-1).square()
    weighed = (2 * anisotropy * across + 2 * along) / (anisotropy + 1)
    return smooth_l1(torch.where(normals.any(-1), weighed, error.square().sum(-1)))
