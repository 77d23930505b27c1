"""Adaptive Wing loss against a slow double-precision version, and where its pieces meet."""

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

from train.losses.adaptive_wing import adaptive_wing, adaptive_wing_loss, weight_map

Array = np.ndarray[Any, np.dtype[np.float64]]
seeds = st.integers(0, 10**6)


def slow_cell(value: float, y: float, omega: float, theta: float, epsilon: float, alpha: float) -> float:
    d, power = float(abs(value - y)), float(alpha - y)
    if d < theta:
        return omega * math.log(1 + math.pow(d / epsilon, power))
    at_theta = math.pow(theta / epsilon, power)
    a = omega * (1 / (1 + at_theta)) * power * math.pow(theta / epsilon, power - 1) / epsilon
    return a * d - (theta * a - omega * math.log(1 + at_theta))


def slow_weight(target: Array, row: int, column: int) -> float:
    around = target[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return 11.0 if around.max() >= 0.2 else 1.0


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    """Maps (2, 6, 7) somewhat beyond 0 .. 1, and targets in 0 .. 1 of which most are low."""
    generator = torch.Generator().manual_seed(seed)
    maps = 1.6 * torch.rand(2, 6, 7, generator=generator, dtype=torch.float64) - 0.3
    return maps, torch.rand(2, 6, 7, generator=generator, dtype=torch.float64) ** 8


def at(error: float, target: float, **constants: float) -> tuple[float, float]:
    """Value and slope of one cell."""
    y = torch.tensor([[target]], dtype=torch.float64)
    value = (y + error).requires_grad_()
    loss = adaptive_wing(value, y, **constants)
    (slope,) = torch.autograd.grad(loss.sum(), value)
    return loss.item(), slope.item()


class TestCells:
    @given(seed=seeds, omega=st.floats(1, 20), theta=st.floats(0.1, 0.9), epsilon=st.floats(0.2, 3))
    @settings(max_examples=20)
    def test_are_the_slow_ones(self, seed: int, omega: float, theta: float, epsilon: float) -> None:
        maps, target = drawn(seed)
        losses = adaptive_wing(maps, target, omega, theta, epsilon)
        for i in np.ndindex(losses.shape):
            expected = slow_cell(maps[i].item(), target[i].item(), omega, theta, epsilon, 2.1)
            assert losses[i].item() == pytest.approx(expected, rel=1e-9)

    def test_defaults_are_the_papers(self) -> None:
        maps, target = drawn(0)
        expected = [
            slow_cell(m, y, 14, 0.5, 1, 2.1) for m, y in zip(maps.flatten().tolist(), target.flatten().tolist())
        ]
        assert_allclose(adaptive_wing(maps, target).flatten(), expected)

    @given(target=st.floats(0, 1), theta=st.floats(0.1, 0.9), epsilon=st.floats(0.2, 3))
    @settings(max_examples=30)
    def test_value_and_slope_are_continuous_at_theta(self, target: float, theta: float, epsilon: float) -> None:
        (low, slope), (high, slope_above) = (at(theta + e, target, theta=theta, epsilon=epsilon) for e in (-1e-9, 1e-9))
        assert high == pytest.approx(low, abs=1e-6)
        assert slope_above == pytest.approx(slope, rel=1e-6)

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_sign_of_the_error_does_not_matter(self, seed: int) -> None:
        maps, target = drawn(seed)
        assert_allclose(adaptive_wing(2 * target - maps, target), adaptive_wing(maps, target), rtol=1e-9)

    def test_is_steeper_for_small_errors_on_the_foreground(self) -> None:
        assert at(0.05, 1.0)[1] > 4 * at(0.05, 0.0)[1]
        assert at(0.0, 1.0) == at(0.0, 0.0) == (0, 0)


class TestLoss:
    @given(seed=seeds)
    @settings(max_examples=20)
    def test_is_the_slow_one(self, seed: int) -> None:
        maps, target = drawn(seed)
        losses = adaptive_wing_loss(maps, target)
        assert losses.shape == (2,)
        for loss, image, truth in zip(losses, maps.numpy(), target.numpy(), strict=True):
            cells = [slow_weight(truth, *i) * slow_cell(image[i], truth[i], 14, 0.5, 1, 2.1) for i in np.ndindex(6, 7)]
            assert loss.item() == pytest.approx(np.mean(cells), rel=1e-9)

    def test_gradient_is_that_of_finite_differences(self) -> None:
        maps, target = drawn(1)
        assert torch.autograd.gradcheck(lambda m: adaptive_wing_loss(m, target), (maps.requires_grad_(),))

    def test_weights_reach_one_cell_beyond_the_foreground(self) -> None:
        target = torch.zeros(7, 7)
        target[0, 0], target[4, 4], target[6, 0] = 0.9, 0.2, 0.19
        expected = torch.ones(7, 7)
        expected[:2, :2] = expected[3:6, 3:6] = 11
        assert torch.equal(weight_map(target), expected)

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_turning_everything_by_a_right_angle_changes_nothing(self, seed: int) -> None:
        maps, target = drawn(seed)
        turned = [torch.rot90(image, dims=(-2, -1)) for image in (maps, target)]
        assert_allclose(adaptive_wing_loss(*turned), adaptive_wing_loss(maps, target), rtol=1e-12)

    @pytest.mark.parametrize("peak", [0.0, 1.0])
    @pytest.mark.parametrize("guess", [0.0, 1.0, 1e4])
    def test_flat_and_one_hot_maps_have_a_gradient(self, peak: float, guess: float) -> None:
        target = torch.zeros(1, 5, 5)
        target[0, 2, 3] = peak
        maps = torch.full((1, 5, 5), guess, requires_grad=True)
        loss = adaptive_wing_loss(maps, target)
        (gradient,) = torch.autograd.grad(loss.sum(), maps)
        assert torch.isfinite(loss).all() and torch.isfinite(gradient).all()

    def test_shapes_of_a_batch_and_half_precision(self) -> None:
        maps, target = torch.rand(3, 5, 8, 8).half(), torch.rand(3, 5, 8, 8).half()
        with torch.autocast("cpu", torch.bfloat16):
            losses = adaptive_wing_loss(maps, target)
        assert (losses.shape, losses.dtype) == ((3, 5), torch.float32)
        assert torch.equal(losses, adaptive_wing_loss(maps.float(), target.float()))
