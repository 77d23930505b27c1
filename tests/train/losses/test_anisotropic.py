"""ADNet's direction loss against a slow double-precision version, and the normals of real schemes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor

from tracker.face.schemes import COFW29, IBUG68, SCHEMES, WFLW98, Curve, Scheme
from train.losses.anisotropic import anisotropic_loss, anisotropy_of_maps
from train.losses.distances import smooth_l1
from train.targets.normals import neighbours, normals

Array = np.ndarray[Any, np.dtype[np.float64]]
seeds = st.integers(0, 10**6)


def slow_normals(points: Array, scheme: Scheme) -> Array:
    """The normalised bisector of the unit vectors to both neighbours; at open ends the turned tangent."""
    found = np.zeros((scheme.count, 2))
    for curve in scheme.curves:
        for place, k in enumerate(curve.indices):
            at_end = not curve.closed and place in (0, len(curve.indices) - 1)
            towards = []
            for other in {place - 1, place + 1}:
                if curve.closed or 0 <= other < len(curve.indices):
                    way = points[curve.indices[other % len(curve.indices)]] - points[k]
                    towards.append(way / math.hypot(*way))
            normal = np.array([-towards[0][1], towards[0][0]]) if at_end else towards[0] + towards[1]
            found[k] = normal / math.hypot(*normal)
    return found


def slow_loss(error: Array, normal: Array, anisotropy: float) -> float:
    alpha, beta = 2 * anisotropy / (anisotropy + 1), 2 / (anisotropy + 1)
    across = error[0] * normal[0] + error[1] * normal[1]
    along = error[1] * normal[0] - error[0] * normal[1]
    squared = alpha * across**2 + beta * along**2 if normal.any() else error[0] ** 2 + error[1] ** 2
    return squared / 0.02 if squared < 1e-4 else math.sqrt(squared) - 0.005


def slow_anisotropy(image: Array, centre: Array, normal: Array) -> float:
    rows, columns = image.shape
    across = along = 0.0
    for r, c in np.ndindex(image.shape):
        dx, dy = 2 * c / (columns - 1) - 1 - centre[0], 2 * r / (rows - 1) - 1 - centre[1]
        across += image[r, c] * (dx * normal[0] + dy * normal[1]) ** 2
        along += image[r, c] * (dy * normal[0] - dx * normal[1]) ** 2
    return min(max(along / max(across, 1e-6), 1.0), 9.0)


def scheme_of(*curves: Curve) -> Scheme:
    count = 1 + max(max(curve.indices) for curve in curves)
    return Scheme("test", count, np.arange(count), ((0,), (1,)), ((0,), (1,)), curves, {})


def drawn(seed: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points found and labels (2, count, 2), and unit normals of which every third is missing."""
    generator = torch.Generator().manual_seed(seed)
    found, points, across = torch.randn(3, 2, count, 2, generator=generator, dtype=torch.float64)
    across = across / across.norm(dim=-1, keepdim=True)
    across[:, ::3] = 0
    return found, points, across


class TestNeighbours:
    @pytest.mark.parametrize(
        ("scheme", "point", "expected"),
        [
            (IBUG68, 0, [0, 1]),
            (IBUG68, 8, [7, 9]),
            (IBUG68, 16, [15, 16]),
            (IBUG68, 36, [41, 37]),
            (IBUG68, 59, [58, 48]),
            (WFLW98, 96, [96, 96]),
            (COFW29, 14, [9, 11]),
            (COFW29, 22, [25, 24]),  # on both lips: the inner ones count
        ],
    )
    def test_of_known_points(self, scheme: Scheme, point: int, expected: list[int]) -> None:
        assert neighbours(scheme)[point].tolist() == expected

    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
    def test_only_points_on_no_curve_have_none(self, scheme: Scheme) -> None:
        alone = (neighbours(scheme) == torch.arange(scheme.count)[:, None]).all(1)
        on_curves = {k for curve in scheme.curves for k in curve.indices}
        assert set(alone.nonzero().flatten().tolist()) == set(range(scheme.count)) - on_curves


class TestNormals:
    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
    def test_are_the_slow_ones_up_to_sign(self, scheme: Scheme) -> None:
        points = np.random.default_rng(0).uniform(-1, 1, (3, scheme.count, 2))
        found = normals(torch.from_numpy(points), neighbours(scheme)).numpy()
        for fast, face in zip(found, points, strict=True):
            slow = slow_normals(face, scheme)
            assert_allclose(np.abs((fast * slow).sum(1)), slow.any(1), atol=1e-6)
            assert_allclose(np.linalg.norm(fast, axis=1), slow.any(1), atol=1e-9)

    def test_of_a_real_face_are_unit_vectors(self, face68: Array) -> None:
        found = normals(torch.from_numpy(face68 / 50 - 1).float(), neighbours(IBUG68))
        assert_allclose(found.norm(dim=-1), torch.ones(68), atol=1e-5)
        assert found[8, 1].abs() > 0.98  # the chin's is upright
        assert found[27:30, 0].abs().min() > 0.9  # those of the bridge of the nose are level

    def test_of_a_circle_point_to_its_middle(self) -> None:
        angles = torch.arange(12, dtype=torch.float64) * (2 * math.pi / 12)
        circle = torch.stack([angles.cos(), angles.sin()], -1)
        found = normals(0.5 * circle, neighbours(scheme_of(Curve("circle", tuple(range(12)), closed=True))))
        assert_allclose((found * circle).sum(-1).abs(), torch.ones(12), atol=1e-9)

    @pytest.mark.parametrize("angle", [0.0, 0.3, 1.0])
    def test_of_a_straight_curve_are_across_it(self, angle: float) -> None:
        """Where the bisector is nothing but rounding."""
        direction = torch.tensor([math.cos(angle), math.sin(angle)])
        line = torch.linspace(-0.9, 0.8, 7)[:, None] * direction
        found = normals(line, neighbours(scheme_of(Curve("line", tuple(range(7))))))
        assert_allclose(found.norm(dim=-1), torch.ones(7), atol=1e-6)
        assert (found * direction).sum(-1).abs().max() < 1e-5

    def test_of_a_closed_eyes_corner_point_into_the_eye(self) -> None:
        """Both lids coincide: the two directions are one."""
        eye = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.4, 0.0], [0.2, 0.0]])
        found = normals(eye, neighbours(scheme_of(Curve("eye", (0, 1, 2, 3), closed=True))))
        assert found[0].tolist() == [1, 0]
        assert torch.isfinite(found).all()

    def test_of_labels_that_all_coincide_are_zero(self) -> None:
        assert not normals(torch.zeros(1, 68, 2), neighbours(IBUG68)).any()


class TestAnisotropy:
    @given(seed=seeds)
    @settings(max_examples=20)
    def test_is_the_slow_one(self, seed: int) -> None:
        found, _, across = drawn(seed, 4)
        maps = torch.rand(2, 4, 6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 4
        maps = maps / maps.sum((-2, -1), keepdim=True)
        result = anisotropy_of_maps(maps, 0.3 * found, across)
        assert result.shape == (2, 4)
        for i in np.ndindex(2, 4):
            expected = slow_anisotropy(maps[i].numpy(), 0.3 * found[i].numpy(), across[i].numpy())
            assert result[i].item() == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(("widths", "expected"), [((1, 1), 1), ((2, 1), 4), ((6, 1), 9), ((1, 3), 1)])
    def test_is_the_ratio_of_variances_within_its_limits(self, widths: tuple[float, float], expected: float) -> None:
        axis = torch.arange(41.0) - 20
        image = torch.exp(-(axis[:, None] ** 2) / (2 * widths[1] ** 2) - axis**2 / (2 * widths[0] ** 2))
        level = torch.tensor([0.0, 1.0])  # the normal of a curve from left to right
        result = anisotropy_of_maps(image / image.sum(), torch.zeros(2), level)
        assert result.item() == pytest.approx(expected, rel=0.01)

    def test_has_no_gradient_and_bears_one_cell_and_none(self) -> None:
        maps = torch.zeros(2, 5, 5)
        maps[0, 2, 2] = 1
        result = anisotropy_of_maps(maps.requires_grad_(), torch.zeros(2, 2), torch.tensor([[1.0, 0.0]] * 2))
        assert not result.requires_grad
        assert result.tolist() == [1, 1]


class TestLoss:
    @given(seed=seeds, anisotropy=st.floats(1, 9), scale=st.sampled_from([1, 0.01]))
    @settings(max_examples=30)
    def test_is_the_slow_one(self, seed: int, anisotropy: float, scale: float) -> None:
        found, points, across = drawn(seed, 5)
        found = points + scale * (found - points)
        each = torch.linspace(anisotropy, 1, 5, dtype=torch.float64).expand(2, 5)
        losses, alike = anisotropic_loss(found, points, across, each), anisotropic_loss(found, points, across)
        assert losses.shape == (2, 5)
        for i in np.ndindex(2, 5):
            error, normal = (found - points)[i].numpy(), across[i].numpy()
            assert losses[i].item() == pytest.approx(slow_loss(error, normal, each[i].item()), abs=1e-9)
            assert alike[i].item() == pytest.approx(slow_loss(error, normal, 2), abs=1e-9)

    def test_gradient_is_that_of_finite_differences(self) -> None:
        found, points, across = drawn(1, 5)
        assert torch.autograd.gradcheck(lambda f: anisotropic_loss(f, points, across, 3.0), (found.requires_grad_(),))

    def test_an_error_across_the_curve_costs_more(self) -> None:
        level = torch.tensor([0.0, 1.0])
        across, along = (anisotropic_loss(torch.tensor(e), torch.zeros(2), level, 4.0) for e in ([0, 0.2], [0.2, 0]))
        assert (across + 0.005).item() == pytest.approx(2 * (along + 0.005).item(), rel=1e-5)  # the root of lambda

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_at_lambda_1_it_is_smooth_l1(self, seed: int) -> None:
        found, points, across = drawn(seed, 5)
        plain = smooth_l1((found - points).square().sum(-1))
        assert_allclose(anisotropic_loss(found, points, across, 1.0), plain, rtol=1e-9)

    @given(seed=seeds, angle=st.floats(-3, 3))
    @settings(max_examples=20)
    def test_turning_everything_changes_nothing(self, seed: int, angle: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        points = torch.rand(68, 2, generator=generator, dtype=torch.float64)
        found = points + 0.1 * torch.randn(68, 2, generator=generator, dtype=torch.float64)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
        table = neighbours(IBUG68)
        before = anisotropic_loss(found, points, normals(points, table))
        after = anisotropic_loss(found @ turn, points @ turn, normals(points @ turn, table))
        assert_allclose(after, before, atol=1e-6)

    @pytest.mark.parametrize("offset", [0.0, 1e-9, 5.0])
    def test_no_error_and_points_outside_have_a_gradient(self, offset: float) -> None:
        points, table = torch.zeros(68, 2), neighbours(IBUG68)
        found = (points + offset).requires_grad_()
        loss = anisotropic_loss(found, points, normals(points, table))
        (gradient,) = torch.autograd.grad(loss.sum(), found)
        assert torch.isfinite(loss).all() and torch.isfinite(gradient).all()

    def test_half_precision_points_are_measured_in_single(self) -> None:
        found, points, across = (tensor.float() for tensor in drawn(2, 5))
        half = found.half()
        with torch.autocast("cpu", torch.bfloat16):
            loss = anisotropic_loss(half, points, across)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, anisotropic_loss(half.float(), points, across))
