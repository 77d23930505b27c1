"""Anisotropic direction loss: errors across a boundary curve weigh more than along it (ADNet, ICCV 2021, its code)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tracker.face.schemes import Scheme
from train.losses.distances import smooth_l1
from train.losses.maps import full_precision, second_moments


def neighbours(scheme: Scheme) -> Tensor:
    """(K, 2) the points before and after each one on its curve; the point itself where there is none.

    Of a point on two curves (COFW's corners of the mouth) the last curve counts, as in ADNet's code.
    """
    table = torch.arange(scheme.count)[:, None].repeat(1, 2)
    for curve in scheme.curves:
        first, last = curve.indices[0], curve.indices[-1]
        before = (last if curve.closed else first, *curve.indices[:-1])
        after = (*curve.indices[1:], first if curve.closed else last)
        table[list(curve.indices)] = torch.tensor([before, after]).T
    return table


def normals(points: Tensor, neighbours: Tensor) -> Tensor:
    """(..., K, 2) unit normals of the curves at the labels (..., K, 2), of either sign; zero for points on no curve.

    The bisector of the directions to both neighbours; at the end of a curve, across the direction to the only one.
    Where the two directions are opposite the bisector is lost in rounding (ADNet's code then takes a random or no
    direction), so at wide angles it is found from their difference, to which it is perpendicular.
    """
    before, after = (normalize(points[..., neighbours[:, side], :] - points, dim=-1) for side in (0, 1))
    bisector, difference = before + after, after - before
    is_sharp = bisector.norm(dim=-1, keepdim=True) > difference.norm(dim=-1, keepdim=True)
    return normalize(torch.where(is_sharp, bisector, _turned(difference)), dim=-1)


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
    along = (error * _turned(normals)).sum(-1).square()
    weighed = (2 * anisotropy * across + 2 * along) / (anisotropy + 1)
    return smooth_l1(torch.where(normals.any(-1), weighed, error.square().sum(-1)))


def _turned(vectors: Tensor) -> Tensor:
    """Vectors (..., 2) by a right angle."""
    return torch.stack([-vectors[..., 1], vectors[..., 0]], -1)
