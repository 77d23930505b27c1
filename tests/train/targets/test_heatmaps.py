"""Heatmaps drawn at labels, against slow ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from train.targets.heatmaps import gaussian_map, star_point_map

Array = NDArray[np.float64]
seeds = st.integers(0, 10**6)


class TestTarget:
    @given(x=st.floats(-1.5, 1.5), y=st.floats(-1.5, 1.5), sigma=st.floats(0.5, 3))
    @settings(max_examples=20)
    def test_is_the_slow_gaussian(self, x: float, y: float, sigma: float) -> None:
        image = gaussian_map(torch.tensor([x, y], dtype=torch.float64), 9, sigma)
        assert image.shape == (9, 9)
        for row, column in np.ndindex(9, 9):
            squared = (column - (x + 1) * 4) ** 2 + (row - (y + 1) * 4) ** 2
            assert image[row, column].item() == pytest.approx(math.exp(-squared / (2 * sigma**2)), rel=1e-9, abs=1e-30)

    def test_peak_is_1_on_the_labels_cell(self) -> None:
        image = gaussian_map(torch.tensor([[[0.5, -1.0]]]), 5, 1.0)
        assert image.shape == (1, 1, 5, 5)
        assert image.argmax() == 3
        assert image.max() == 1

    def test_is_empty_far_outside(self) -> None:
        assert not gaussian_map(torch.tensor([30.0, 0.0]), 9, 1.0).any()


def slow_point(point: Array, size: int) -> Array:
    """STAR's point on the crop's pixels, one after the other."""
    x, y = (min(max(value, 0), size - 1) for value in point.tolist())
    left, top = int(x - 4.5), int(y - 4.5)
    image = np.zeros((size, size))
    for row in range(max(top, 0), min(int(y + 5.5), size)):
        for column in range(max(left, 0), min(int(x + 5.5), size)):
            image[row, column] = math.exp(-((column - left - 5) ** 2 + (row - top - 5) ** 2) / (2 * 1.5**2))
    return image


class TestStarsPoints:
    @given(seed=seeds, border=st.sampled_from([-30, -3, 0, 8]))
    @settings(max_examples=25)
    def test_are_the_slow_ones_read_off_as_stars_code_does(self, seed: int, border: float) -> None:
        points = np.random.default_rng(seed).uniform(border, 63 - border, (6, 2)).round(seed % 3)
        maps = star_point_map(torch.from_numpy(points), 16, 4)
        slow = torch.from_numpy(np.stack([slow_point(point, 64) for point in points]))
        read = torch.nn.functional.interpolate(slow[None], scale_factor=0.25, mode="bilinear")[0]
        assert_allclose(maps, read, atol=1e-6)

    def test_peaks(self) -> None:
        """References 2.3 has .37 to .55: points on an inner pixel of their cell, in x and in y, reach .81."""
        x, y = np.meshgrid(np.arange(20.0, 24), np.arange(20.0, 24))
        peaks = star_point_map(torch.from_numpy(np.stack([x, y], -1)), 16, 4).amax((-2, -1)).numpy()
        inner, outer = (1 + math.exp(-1 / 4.5)) / 2, (math.exp(-1 / 4.5) + math.exp(-4 / 4.5)) / 2
        along = np.array([outer, inner, inner, outer])
        assert_allclose(peaks, along[:, None] * along, atol=1e-6)
        assert_allclose(sorted(set(peaks.round(2).ravel().tolist())), [0.37, 0.55, 0.81])

    def test_the_window_reaches_from_5_before_to_4_behind(self) -> None:
        image = star_point_map(torch.tensor([31.4, 31.4]), 64, 1)
        assert torch.nonzero(image.amax(0)).ravel().tolist() == list(range(26, 36))
        assert image[31, 31] == image.max() == 1
