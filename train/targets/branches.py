"""Boundary curves cut at their corners: an eye into its lids, a mouth into its upper and lower edges.

Convention: points are (x, y) in cells of a map, as train.codecs.gaussian.cells_from_pixels gives them. N faces,
K landmarks, E curves; maps are (N, E, cells, cells).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from tracker.face.schemes import Curve


def branches(curve: Curve) -> list[tuple[int, ...]]:
    """Return the landmarks from one corner to the next, both included; a curve without corners is one branch.

    A closed curve without corners ends where it begins.
    """
    indices = curve.indices
    if curve.closed:
        first = indices.index(curve.corners[0]) if curve.corners else 0
        indices = (*indices[first:], *indices[: first + 1])
    cuts = sorted({0, len(indices) - 1, *(place for place, k in enumerate(indices) if k in curve.corners)})
    return [indices[begin : end + 1] for begin, end in pairwise(cuts)]


def branch_maps(edges: Tensor, points: Tensor, curves: Sequence[Curve]) -> list[tuple[Tensor, list[int]]]:
    """Return the edge maps of the branches that landmarks lie on.

    The map of a curve is shared out among its branches: each cell to the branch whose polyline through the landmarks is
    nearest, and to each of those that are equally near.

    Args:
        edges: (N, E, cells, cells).
        points: (N, K, 2) landmarks in cells.
        curves: the E curves.

    Returns:
        For each group of landmarks that lie on the same B branches, the maps (N, B, cells, cells) and the landmarks.
    """
    maps: list[Tensor] = []
    on: dict[int, list[int]] = {}
    for image, curve in zip(edges.unbind(1), curves):
        chains = branches(curve)
        distances = torch.stack([_distance(points[:, list(chain)], image.shape[-1]) for chain in chains])
        nearest = distances.amin(0)
        for chain, distance in zip(chains, distances):
            for landmark in {*chain}:
                on.setdefault(landmark, []).append(len(maps))
            maps.append(image * (distance <= nearest))
    groups: dict[tuple[int, ...], list[int]] = {}
    for landmark, of_branches in sorted(on.items()):
        groups.setdefault(tuple(of_branches), []).append(landmark)
    return [(torch.stack([maps[b] for b in group], 1), landmarks) for group, landmarks in groups.items()]


def _distance(points: Tensor, cells: int) -> Tensor:
    """(N, cells, cells) of each cell's middle from the polyline through points (N, M, 2)."""
    axis = torch.arange(cells, dtype=points.dtype, device=points.device)
    middles = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    nearest = points.new_full((len(points), cells, cells), torch.inf)
    for begin, end in zip(points[:, :-1, None, None].unbind(1), points[:, 1:, None, None].unbind(1)):
        way, offset = end - begin, middles - begin
        share = ((offset * way).sum(-1) / way.square().sum(-1).clamp_min(1e-12)).clamp(0, 1)
        nearest = torch.minimum(nearest, (offset - share[..., None] * way).square().sum(-1))
    return nearest
