"""Moments of maps against sums over cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from train.maps import cell_axis, full_precision, mean_point, second_moments

Array = np.ndarray[Any, np.dtype[np.float64]]


def slow_moments(image: Array, centre: Array) -> tuple[Array, Array]:
    """The sums of x, y and of xx, xy, yy about a centre, weighed by the map."""
    height, width = image.shape
    first, second = np.zeros(2), np.zeros(3)
    for row in range(height):
        for column in range(width):
            x, y = 2 * column / (width - 1) - 1, 2 * row / (height - 1) - 1
            first += image[row, column] * np.array([x, y])
            dx, dy = x - centre[0], y - centre[1]
            second += image[row, column] * np.array([dx * dx, dx * dy, dy * dy])
    return first, second


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_moments_are_the_slow_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, centres = rng.random((2, 3, 5, 8)), rng.uniform(-1.5, 1.5, (2, 3, 2))
    means = mean_point(torch.from_numpy(images))
    moments = second_moments(torch.from_numpy(images), torch.from_numpy(centres))
    assert (means.shape, moments.shape) == ((2, 3, 2), (2, 3, 3))
    for i in np.ndindex(2, 3):
        mean, second = slow_moments(images[i], centres[i])
        assert_allclose(means[i], mean, atol=1e-12)
        assert_allclose(moments[i], second, atol=1e-12)


def test_one_cell_is_its_own_mean() -> None:
    image = torch.zeros(5, 9)
    image[4, 2] = 1
    mean = mean_point(image)
    assert mean.tolist() == [-0.5, 1.0]
    assert second_moments(image, mean).tolist() == [0, 0, 0]


def test_first_and_last_cell_are_at_minus_one_and_one() -> None:
    axis = cell_axis(5, torch.zeros(1, dtype=torch.float64))
    assert axis.dtype == torch.float64
    assert axis.tolist() == [-1, -0.5, 0, 0.5, 1]


@pytest.mark.parametrize(
    ("given_type", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision_is_single_or_better(given_type: torch.dtype, expected: torch.dtype) -> None:
    assert full_precision(torch.zeros(2, dtype=given_type)).dtype == expected
