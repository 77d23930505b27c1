"""Heatmap regression against sums over cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from train.losses.heatmap import heatmap_loss
from train.targets.heatmaps import gaussian_map

Array = NDArray[np.float64]
seeds = st.integers(0, 10**6)


class TestLoss:
    @given(seed=seeds)
    @settings(max_examples=20)
    def test_is_the_slow_one(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        maps, target = rng.normal(size=(2, 3, 4, 5)), rng.random((2, 3, 4, 5))
        losses = heatmap_loss(torch.from_numpy(maps), torch.from_numpy(target))
        assert losses.shape == (2, 3)
        for i in np.ndindex(2, 3):
            expected = sum((maps[i][j] - target[i][j]) ** 2 for j in np.ndindex(4, 5)) / 20
            assert losses[i].item() == pytest.approx(expected, rel=1e-12)

    def test_gradient_is_that_of_finite_differences(self) -> None:
        maps, target = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        assert torch.autograd.gradcheck(lambda m: heatmap_loss(m, target), (maps.requires_grad_(),))

    def test_is_zero_for_the_target_only(self) -> None:
        target = gaussian_map(torch.tensor([0.1, 0.2]), 7, 1.0)
        assert heatmap_loss(target, target) == 0
        assert heatmap_loss(target + 1e-3, target) > 0

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_turning_everything_by_a_right_angle_changes_nothing(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        maps = torch.randn(3, 7, 7, generator=generator, dtype=torch.float64)
        points = 2 * torch.rand(3, 2, generator=generator, dtype=torch.float64) - 1
        turned_points = torch.stack([points[:, 1], -points[:, 0]], 1)
        turned = heatmap_loss(torch.rot90(maps, dims=(-2, -1)), gaussian_map(turned_points, 7, 1.2))
        assert_allclose(turned, heatmap_loss(maps, gaussian_map(points, 7, 1.2)), rtol=1e-9)

    def test_half_precision_maps_are_summed_in_single(self) -> None:
        half, target = torch.randn(4, 64, 64).half(), torch.rand(4, 64, 64).half()
        with torch.autocast("cpu", torch.bfloat16):
            loss = heatmap_loss(half, target)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, heatmap_loss(half.float(), target))
