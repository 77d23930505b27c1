"""Normals of the boundary curves at the labels, which ADNet's direction loss weighs errors by."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tracker.face.schemes import Scheme
from train.maps import turned


def neighbours(scheme: Scheme) -> Tensor:
    """Return the points before and after each one on its curve; the point itself if there is none.

    Of a point on two curves (COFW's corners of the mouth) the last curve counts, as in ADNet's code.

    Args:
        scheme: of K landmarks.

    Returns:
        (K, 2) indices.
    """
    table = torch.arange(scheme.count)[:, None].repeat(1, 2)
    for curve in scheme.curves:
        first, last = curve.indices[0], curve.indices[-1]
        before = (last if curve.closed else first, *curve.indices[:-1])
        after = (*curve.indices[1:], first if curve.closed else last)
        table[list(curve.indices)] = torch.tensor([before, after]).T
    return table


def normals(points: Tensor, neighbours: Tensor) -> Tensor:
    """Return the unit normals of the curves at the labels, of either sign; zero for points on no curve.

    The bisector of the directions to both neighbours; at the end of a curve, across the direction to the only one. If
    the two directions are opposite, the bisector is lost in rounding (ADNet's code then takes a random direction or
    none), so at wide angles it is found from their difference, to which it is perpendicular.

    Args:
        points: (..., K, 2) the labels.
        neighbours: (K, 2) of the scheme.

    Returns:
        (..., K, 2).
    """
    before, after = (normalize(points[..., neighbours[:, side], :] - points, dim=-1) for side in (0, 1))
    bisector, difference = before + after, after - before
    is_sharp = bisector.norm(dim=-1, keepdim=True) > difference.norm(dim=-1, keepdim=True)
    return normalize(torch.where(is_sharp, bisector, turned(difference)), dim=-1)
