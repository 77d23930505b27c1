"""Curves cut at their corners, and edge maps shared out among the branches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.label_axes import degrees_off
from tracker.face.schemes import COFW29, IBUG49, IBUG68, SCHEMES, WFLW98, Curve, Scheme
from train.targets.branches import branch_maps, branches

CELLS = 12


def named(scheme: Scheme, name: str) -> Curve:
    return next(curve for curve in scheme.curves if curve.name == name)


class TestBranches:
    @pytest.mark.parametrize(
        ("scheme", "curve", "expected"),
        [
            (IBUG68, "jaw", [tuple(range(17))]),
            (IBUG68, "left_eye", [(42, 43, 44, 45), (45, 46, 47, 42)]),
            (IBUG68, "inner_lips", [(60, 61, 62, 63, 64), (64, 65, 66, 67, 60)]),
            (WFLW98, "right_brow", [(33, 34, 35, 36, 37), (37, 38), (38, 39, 40, 41, 33)]),
            (WFLW98, "left_brow", [(42, 43, 44, 45, 46), (46, 47, 48, 49, 50), (50, 42)]),
            (COFW29, "left_eye", [(9, 14, 11), (11, 15)]),
            (COFW29, "nose", [(18, 20, 19), (19, 21, 18)]),
            (IBUG49, "inner_lips", [(43, 44, 45, 46, 47, 48, 43)]),
        ],
        ids=lambda value: getattr(value, "name", None) or (value if isinstance(value, str) else ""),
    )
    def test_lead_from_corner_to_corner(self, scheme: Scheme, curve: str, expected: list[tuple[int, ...]]) -> None:
        assert branches(named(scheme, curve)) == expected

    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    def test_have_each_line_of_the_curve_once(self, scheme: Scheme) -> None:
        for curve in scheme.curves:
            lines = [*zip(curve.indices, curve.indices[1:])]
            lines += [(curve.indices[-1], curve.indices[0])] * curve.closed
            found = [line for chain in branches(curve) for line in pairwise(chain)]
            assert sorted(found) == sorted(lines)

    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    def test_corners_are_the_same_in_the_mirror(self, scheme: Scheme) -> None:
        corners = {corner for curve in scheme.curves for corner in curve.corners}
        assert {int(scheme.flip[corner]) for corner in corners} == corners


class TestMaps:
    @given(seed=st.integers(0, 10**6))
    def test_have_each_cell_on_its_nearest_branch(self, seed: int) -> None:
        """Against the distances from many points of each polyline."""
        rng = np.random.default_rng(seed)
        curves = (Curve("eye", (0, 1, 2, 3), closed=True, corners=(0, 2)), Curve("line", (2, 4)))
        points = rng.uniform(1, CELLS - 2, (1, 5, 2))
        edges = torch.from_numpy(rng.uniform(0.5, 1, (1, 2, CELLS, CELLS)))
        found = {
            landmark: maps
            for maps, landmarks in branch_maps(edges, torch.from_numpy(points), curves)
            for landmark in landmarks
        }
        assert {k: maps.shape[1] for k, maps in found.items()} == {0: 2, 1: 1, 2: 3, 3: 1, 4: 1}
        cells = np.stack(np.meshgrid(np.arange(CELLS), np.arange(CELLS)), -1)
        near = []
        for chain in ((0, 1, 2), (2, 3, 0)):
            share = np.linspace(0, 1, 400)[:, None]
            line = np.concatenate([points[0, a] * (1 - share) + points[0, b] * share for a, b in pairwise(chain)])
            near.append(np.linalg.norm(cells[..., None, :] - line, axis=-1).min(-1))
        for lid, own, other in ((1, *near), (3, *reversed(near))):
            kept = (found[lid][0, 0] > 0).numpy()
            assert kept[own < other - 0.1].all()
            assert not kept[own > other + 0.1].any()
        assert torch.equal(found[4][0, 0], edges[0, 1])

    def test_a_closed_eye_keeps_both_lids(self) -> None:
        """Where the lids lie on one another, a cell is as near to the one as to the other."""
        points = torch.tensor([[[1.0, 5.0], [5.0, 5.0], [9.0, 5.0], [5.0, 5.0]]])
        edges = torch.ones(1, 1, CELLS, CELLS)
        curve = Curve("eye", (0, 1, 2, 3), closed=True, corners=(0, 2))
        assert all(maps.all() for maps, _ in branch_maps(edges, points, [curve]))


def test_directions_that_the_benchmark_compares_with() -> None:
    """Axes along x and along y at the chin, an upper lid and a corner of an eye that opens by 90 degrees."""
    points = torch.zeros(1, 68, 2, dtype=torch.float64)
    points[0, 7:10] = torch.tensor([[-3.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    lids = [[0, 0], [2, -2], [6, -2], [8, 0], [6, 2], [2, 2]]
    points[0, 36:42] = torch.tensor(lids).double()
    along_x = torch.tensor([4.0, 0.0, 1.0], dtype=torch.float64).expand(1, 68, 3)
    for covariances, chin, lid, corner in ((along_x, 0, 18.4349, 45), (along_x.flip(-1), 90, 71.5651, 45)):
        degrees = degrees_off(points, covariances, IBUG68)[0]
        assert degrees[[8, 37, 36]].tolist() == pytest.approx([chin, lid, corner], abs=1e-3)
    assert degrees_off(torch.zeros(1, 29, 2), along_x[:, :29], COFW29)[0, [16, 17, 28]].isnan().all()
