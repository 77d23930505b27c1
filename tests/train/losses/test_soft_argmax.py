"""Soft-argmax in both readings against sums over cells, and what it cannot tell apart."""

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
from train.maps import mean_point

Array = np.ndarray[Any, np.dtype[np.float64]]
READINGS: tuple[Reading, ...] = get_args(Reading)
seeds = st.integers(0, 10**6)


def slow_loss(image: Array, point: Array, reading: Reading, beta: float) -> float:
    """Eq. 3 and 4, cell by cell."""
    top = float(image.max())
    height, width = image.shape
    weights = np.zeros_like(image)
    for i in np.ndindex(image.shape):
        value = float(image[i])
        weights[i] = math.exp(beta * (value - top)) if reading == "softmax" else max(value, 0.0)
    x = sum(weights[r, c] * (2 * c / (width - 1) - 1) for r, c in np.ndindex(image.shape)) / weights.sum()
    y = sum(weights[r, c] * (2 * r / (height - 1) - 1) for r, c in np.ndindex(image.shape)) / weights.sum()
    return float((x - point[0]) ** 2 + (y - point[1]) ** 2)


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    """Maps (2, 3, 6, 5) and points (2, 3, 2), some outside."""
    generator = torch.Generator().manual_seed(seed)
    maps = 2 * torch.randn(2, 3, 6, 5, generator=generator, dtype=torch.float64)
    return maps, 2.4 * torch.rand(2, 3, 2, generator=generator, dtype=torch.float64) - 1.2


@pytest.mark.parametrize("reading", READINGS)
@given(seed=seeds, beta=st.floats(0.1, 10))
@settings(max_examples=20)
def test_is_the_slow_one(reading: Reading, seed: int, beta: float) -> None:
    maps, points = drawn(seed)
    losses = soft_argmax_loss(as_distribution(maps, reading, beta), points)
    assert losses.shape == (2, 3)
    for i in np.ndindex(2, 3):
        expected = slow_loss(maps[i].numpy(), points[i].numpy(), reading, beta)
        assert losses[i].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", get_args(Distance))
def test_gradient_is_that_of_finite_differences(reading: Reading, kind: Distance) -> None:
    maps, points = drawn(1)
    assert torch.autograd.gradcheck(
        lambda m: soft_argmax_loss(as_distribution(m, reading, 0.7), points, kind), (maps.requires_grad_(),)
    )


@given(seed=seeds, constant=st.floats(-50, 50), factor=st.floats(0.01, 100))
@settings(max_examples=20)
def test_softmax_ignores_a_constant_and_linear_a_factor(seed: int, constant: float, factor: float) -> None:
    maps, _ = drawn(seed)
    assert_allclose(as_distribution(maps + constant, "softmax"), as_distribution(maps, "softmax"), atol=1e-12)
    assert_allclose(as_distribution(maps * factor, "linear"), as_distribution(maps, "linear"), atol=1e-12)
    assert not np.allclose(as_distribution(maps * 2, "softmax"), as_distribution(maps, "softmax"), atol=1e-3)


@pytest.mark.parametrize("reading", READINGS)
@given(seed=seeds)
@settings(max_examples=10)
def test_turning_everything_by_a_right_angle_changes_nothing(reading: Reading, seed: int) -> None:
    maps, points = drawn(seed)
    turned = as_distribution(torch.rot90(maps, dims=(-2, -1)), reading)
    turned_points = torch.stack([points[..., 1], -points[..., 0]], -1)
    before = soft_argmax_loss(as_distribution(maps, reading), points, "smooth_l1")
    assert_allclose(soft_argmax_loss(turned, turned_points, "smooth_l1"), before, atol=1e-12)


def test_temperature_leads_from_the_middle_to_the_peak() -> None:
    maps, _ = drawn(2)
    peaks = maps.flatten(-2).argmax(-1)
    expected = torch.stack([(peaks % 5) / 2 - 1, (peaks // 5) * 2 / 5 - 1], -1)
    assert_allclose(mean_point(as_distribution(maps, "softmax", 1e4)), expected, atol=1e-6)
    assert_allclose(mean_point(as_distribution(maps, "softmax", 1e-9)), torch.zeros(2, 3, 2), atol=1e-8)


def test_one_peak_and_two_peaks_around_it_are_the_same_to_it() -> None:
    """Yang & Yeh's Eq. 6 and 7."""
    one = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]]).repeat(2, 1) / 2
    two = torch.tensor([[0.4, 0.1, 0.0, 0.1, 0.4]]).repeat(2, 1) / 2
    for image in (one, two):
        assert soft_argmax_loss(image, torch.zeros(2)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("others", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("peak", [0.0, 1e4])
def test_flat_and_one_hot_maps_and_points_outside_have_a_gradient(reading: Reading, others: float, peak: float) -> None:
    maps = torch.full((1, 7, 7), others)
    maps[0, 2, 3] += peak
    maps.requires_grad_()
    loss = soft_argmax_loss(as_distribution(maps, reading), torch.tensor([[4.0, -9.0]]))
    (gradient,) = torch.autograd.grad(loss.sum(), maps)
    assert torch.isfinite(loss).all() and torch.isfinite(gradient).all()


def test_nothing_positive_is_read_as_the_middle() -> None:
    assert mean_point(as_distribution(torch.full((4, 4), -2.0), "linear")).tolist() == [0, 0]


@pytest.mark.parametrize("reading", READINGS)
def test_half_precision_maps_are_summed_in_single(reading: Reading) -> None:
    maps, points = (tensor.float() for tensor in drawn(3))
    half = maps.half()
    with torch.autocast("cpu", torch.bfloat16):
        loss = soft_argmax_loss(as_distribution(half, reading), points)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, soft_argmax_loss(as_distribution(half.float(), reading), points))
