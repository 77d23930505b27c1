"""STAR loss against a slow double-precision version with LAPACK's eigenvectors, its limits, and round maps."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor

from train.losses.distances import Distance
from train.losses.soft_argmax import Reading, as_distribution, soft_argmax_loss
from train.losses.star import Restriction, principal_axes, star_loss, unbiased_covariance

Array = np.ndarray[Any, np.dtype[np.float64]]
KINDS: tuple[Distance, ...] = get_args(Distance)
seeds = st.integers(0, 10**6)


def slow_distance(e: float, kind: Distance) -> float:
    e = abs(e)
    if kind == "smooth_l1":
        return e * e / 0.02 if e < 0.01 else e - 0.005
    if kind in ("l1", "l2"):
        return e if kind == "l1" else e * e
    omega, epsilon = (10 / 128, 2 / 128) if kind == "wing" else (0.01, 2)
    return omega * math.log(1 + e / epsilon) if e < omega else e - omega + omega * math.log(1 + omega / epsilon)


def slow_mean(h: Array) -> Array:
    """Eq. 1."""
    rows, columns = h.shape
    cells = [(2 * c / (columns - 1) - 1, 2 * r / (rows - 1) - 1, h[r, c]) for r, c in np.ndindex(h.shape)]
    return np.array([sum(x * p for x, _, p in cells), sum(y * p for _, y, p in cells)])


def slow_axes(h: Array) -> tuple[Array, Array]:
    """Eq. 4 and 5: eigenvalues and eigenvectors in columns."""
    rows, columns = h.shape
    total = squares = 1e-5
    scatter = np.zeros((2, 2))
    for r, c in np.ndindex(h.shape):
        away = np.array([2 * c / (columns - 1) - 1, 2 * r / (rows - 1) - 1]) - slow_mean(h)
        scatter += h[r, c] * np.outer(away, away)
        total, squares = total + float(h[r, c]), squares + float(h[r, c]) ** 2
    values, vectors = np.linalg.eigh(scatter / (total - squares / total))
    return values, vectors


def slow_parts(h: Array, point: Array, kind: Distance, values: Array, vectors: Array) -> float:
    """Eq. 6 for given eigenvalues and eigenvectors."""
    error = point - slow_mean(h)
    return sum(slow_distance(float(vectors[:, k] @ error), kind) / math.sqrt(values[k] + 1e-5) for k in (0, 1))


def drawn(seed: int, cells: int = 5) -> tuple[Tensor, Tensor]:
    """Distributions (2, cells, cells + 1) and points (2, 2), some outside."""
    generator = torch.Generator().manual_seed(seed)
    maps = 2 * torch.randn(2, cells, cells + 1, generator=generator, dtype=torch.float64)
    points = 2.4 * torch.rand(2, 2, generator=generator, dtype=torch.float64) - 1.2
    return as_distribution(maps, "softmax"), points


def gaussian(sigma: tuple[float, float], angle: float = 0.0, cells: int = 13) -> Tensor:
    """A Gaussian in the middle of a map, with its widths in cells along and across the angle."""
    axis = torch.arange(cells, dtype=torch.float64) - (cells - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    weights = torch.exp(-(along**2) / (2 * sigma[0] ** 2) - across**2 / (2 * sigma[1] ** 2))
    return weights / weights.sum()


class TestLoss:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("restriction", get_args(Restriction))
    @given(seed=seeds, weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    @settings(max_examples=8)
    def test_is_the_slow_one(self, kind: Distance, restriction: Restriction, seed: int, weight: float) -> None:
        maps, points = drawn(seed)
        losses = star_loss(maps, points, kind, restriction, weight)
        assert losses.shape == (2,)
        for loss, image, point in zip(losses, maps.numpy(), points.numpy(), strict=True):
            values, vectors = slow_axes(image)
            expected = slow_parts(image, point, kind, values, vectors)
            expected += weight * values.sum() if restriction == "value" else 0
            assert loss.item() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradient_is_that_of_finite_differences(self, kind: Distance) -> None:
        maps, points = drawn(1, cells=4)
        assert torch.autograd.gradcheck(lambda m: star_loss(m, points, kind), (maps.requires_grad_(),))

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradient_under_detach_is_that_with_eigenvalues_and_axes_held(self, kind: Distance) -> None:
        maps, points = drawn(2, cells=4)
        maps.requires_grad_()
        (gradient,) = torch.autograd.grad(star_loss(maps, points, kind, "detach").sum(), maps)
        for image, point, slopes in zip(maps.detach().numpy(), points.numpy(), gradient.numpy(), strict=True):
            values, vectors = slow_axes(image)
            for cell in np.ndindex(image.shape):
                step = np.zeros_like(image)
                step[cell] = 1e-6
                up, down = (slow_parts(image + s, point, kind, values, vectors) for s in (step, -step))
                assert slopes[cell] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)

    def test_value_passes_a_gradient_to_the_spread_and_detach_none(self) -> None:
        """Along a change of the map that leaves its sum and its mean alone."""
        widening = torch.zeros(13, 13, dtype=torch.float64)
        widening[6, 5:8] = torch.tensor([1.0, -2.0, 1.0])
        slopes = {}
        for restriction in get_args(Restriction):
            image = gaussian((2, 1)).requires_grad_()
            loss = star_loss(image, torch.tensor([0.3, 0.2], dtype=torch.float64), "l1", restriction)
            (gradient,) = torch.autograd.grad(loss, image)
            slopes[restriction] = (gradient * widening).sum().item()
        assert slopes["detach"] == pytest.approx(0, abs=1e-9)
        assert abs(slopes["value"]) > 1e-3

    def test_without_restriction_spreading_lowers_the_loss_and_the_value_stops_it(self) -> None:
        """The abnormal growth of the eigenvalues in section 4.2, and its cure."""
        point = torch.tensor([0.02, 0.01], dtype=torch.float64)
        free = [star_loss(gaussian((s, s)), point, weight=0).item() for s in (0.7, 1.5, 3)]
        held = [star_loss(gaussian((s, s)), point, weight=1).item() for s in (0.7, 1.5, 3)]
        assert free[0] > free[1] > free[2]
        assert held[2] > held[1]

    @pytest.mark.parametrize("angle", [0.0, 0.5, 2.0])
    def test_an_error_along_the_spread_costs_less_by_the_ratio_of_widths(self, angle: float) -> None:
        image = gaussian((2, 1), angle)
        along = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64) * 0.1
        across = torch.stack([-along[1], along[0]])
        cheap, dear = (star_loss(image, error, "l1", "detach") for error in (along, across))
        assert (dear / cheap).item() == pytest.approx(2, rel=0.02)

    @pytest.mark.parametrize("kind", KINDS)
    def test_on_a_round_map_it_is_the_plain_distance_up_to_scale(self, kind: Distance) -> None:
        """For l1 and l2 of every error; the others are not sums over coordinates and agree along an axis."""
        image = gaussian((1.4, 1.4))
        values, _ = slow_axes(image.numpy())
        scale = math.sqrt(values.mean() + 1e-5)
        errors = [(0.3, 0.0), (0.0, -0.005), (0.02, 0.0)]
        errors += [(0.3, -0.1), (0.004, 0.2)] if kind in ("l1", "l2") else []
        for error in errors:
            point = torch.tensor(error, dtype=torch.float64)
            plain = soft_argmax_loss(image, point, kind).item()
            assert star_loss(image, point, kind, "detach").item() * scale == pytest.approx(plain, rel=1e-5)
            restricted = star_loss(image, point, kind, "value", 0.5).item() - values.mean()  # Eq. 7
            assert restricted * scale == pytest.approx(plain, rel=1e-5)

    @given(seed=seeds, kind=st.sampled_from(KINDS), constant=st.floats(-30, 30))
    @settings(max_examples=20)
    def test_turning_everything_or_adding_to_the_logits_changes_nothing(
        self, seed: int, kind: Distance, constant: float
    ) -> None:
        maps, points = drawn(seed)
        before = star_loss(maps, points, kind)
        turned_points = torch.stack([points[:, 1], -points[:, 0]], 1)
        assert_allclose(star_loss(torch.rot90(maps, dims=(-2, -1)), turned_points, kind), before, rtol=1e-6)
        assert_allclose(star_loss(as_distribution(maps.log() + constant, "softmax"), points, kind), before, rtol=1e-9)

    @pytest.mark.parametrize("reading", get_args(Reading))
    @pytest.mark.parametrize("others", [-1.0, 0.0, 1.0])
    @pytest.mark.parametrize("peak", [0.0, 1e-5, 30.0, 1e4])
    @pytest.mark.parametrize("restriction", get_args(Restriction))
    def test_flat_and_one_hot_maps_and_points_outside_have_a_gradient(
        self, reading: Reading, others: float, peak: float, restriction: Restriction
    ) -> None:
        maps = torch.full((3, 7, 7), others)
        maps[:, 2, 3] += peak
        maps[1, 2, 4] += 0.999 * peak
        maps.requires_grad_()
        points = torch.tensor([[0.0, 0.0], [0.1, -0.3], [4.0, -9.0]])
        for kind in KINDS:
            loss = star_loss(as_distribution(maps, reading), points, kind, restriction)
            (gradient,) = torch.autograd.grad(loss.sum(), maps)
            assert torch.isfinite(loss).all() and torch.isfinite(gradient).all()

    def test_half_precision_maps_are_summed_in_single(self) -> None:
        maps, points = (tensor.float() for tensor in drawn(4))
        half = maps.half()
        with torch.autocast("cpu", torch.bfloat16):
            loss = star_loss(half, points)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, star_loss(half.float(), points))
        assert_allclose(loss, star_loss(maps, points), rtol=0.02)


class TestAxes:
    @given(seed=seeds)
    @settings(max_examples=30)
    def test_are_eigenvectors_in_columns(self, seed: int) -> None:
        root = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        matrices = root @ root.mT
        values, axes = principal_axes(torch.stack([matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]], -1))
        assert_allclose(values, np.linalg.eigvalsh(matrices.numpy()), atol=2e-3 * values.max().item())
        assert_allclose(axes.mT @ axes, torch.eye(2).expand(4, 2, 2), atol=1e-12)
        residual = matrices @ axes - axes * values[:, None]
        assert residual.abs().max() <= 2e-3 * values.max() + 2e-6

    def test_of_a_diagonal_matrix(self) -> None:
        values, axes = principal_axes(torch.tensor([[3.0, 0.0, 1.0], [1.0, 0.0, 3.0]]))
        assert values.tolist() == [[1, 3], [1, 3]]
        assert_allclose(axes.abs(), [[[0, 1], [1, 0]], [[1, 0], [0, 1]]], atol=1e-6)

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradient_of_a_nearly_round_map_is_that_of_the_round_one(self, kind: Distance) -> None:
        """With torch.linalg.eigh it grows as one over the difference of the eigenvalues, or is NaN."""
        round_one, point = gaussian((1.4, 1.4)), torch.tensor([0.31, -0.12], dtype=torch.float64)
        gradients = []
        for slant in (0.0, 1e-12, 1e-8, -1e-5):
            image = round_one.clone()
            image[5, 5] += slant
            image[7, 5] -= slant
            (gradient,) = torch.autograd.grad(star_loss(image.requires_grad_(), point, kind), image)
            gradients.append(gradient)
        for gradient in gradients[1:]:
            assert_allclose(gradient, gradients[0], rtol=1e-3, atol=1e-3 * gradients[0].abs().max().item())

    def test_covariance_of_two_equal_cells_is_that_of_two_samples(self) -> None:
        """Unbiased: the squared distance over two; the biased one would be over four."""
        image = torch.zeros(5, 5, dtype=torch.float64)
        image[1, 2] = image[3, 2] = 0.5
        covariance = unbiased_covariance(image, torch.zeros(2, dtype=torch.float64))
        assert_allclose(covariance, [0, 0, 0.5], atol=1e-4)
