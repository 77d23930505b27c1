"""Maps of views warped back: against SciPy, on blobs, at borders; and the loss on them against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import Tensor

from tracker.face.geometry import Array, scale_of, similarity, transform_points
from train.codecs import subpixel
from train.codecs.gaussian import cells_from_pixels, heatmap
from train.losses.heatmap import heatmap_loss
from train.losses.siamese import back_to_first, siamese_loss

CELLS, STRIDE = 48, 4
MIDDLE = np.full(2, (CELLS * STRIDE - 1) / 2)
seeds = st.integers(0, 10**6)


def random_way(rng: np.random.Generator, shift_px: float = 12) -> Array:
    """view_from_first of a tracker's size: up to 40 degrees, a quarter of the scale, and a shift."""
    to = MIDDLE + rng.uniform(-shift_px, shift_px, 2)
    return similarity(rng.uniform(0.8, 1.25), math.radians(rng.uniform(-40, 40)), MIDDLE, to)


def labels_of(first: Array, *ways: Array) -> Tensor:
    """(1, 1 + ways, K, 2) labels in all views, from those of the first (K, 2)."""
    return torch.from_numpy(np.stack([first, *(transform_points(way, first) for way in ways)]))[None]


def shifted(x_px: float, y_px: float = 0.0) -> Array:
    return np.array([[1.0, 0.0, x_px], [0.0, 1.0, y_px]])


def slow_sources(way: Array, height: int, width: int, stride: int) -> Array:
    """(2, height, width) the row and column in the other view's map of each of the first one's cells."""
    sources = np.zeros((2, height, width))
    for row, column in np.ndindex(height, width):
        x, y = transform_points(way, [(column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5])
        sources[:, row, column] = (y + 0.5) / stride - 0.5, (x + 0.5) / stride - 0.5
    return sources


def slow_shown(sources: Array) -> NDArray[np.bool_]:
    """Whether all four neighbours are on the map, to a thousandth of a cell."""
    _, height, width = sources.shape
    shown = np.zeros((height, width), bool)
    for cell in np.ndindex(height, width):
        row, column = sources[(..., *cell)]
        shown[cell] = -1e-3 <= row <= height - 1 + 1e-3 and -1e-3 <= column <= width - 1 + 1e-3
    return shown


def slow_warp(image: Array, sources: Array) -> Array:
    return np.asarray(map_coordinates(image, sources, order=1, mode="nearest"))


def centroid(maps: Tensor) -> Tensor:
    """(..., 2) the mean (x, y) in cells."""
    axis = torch.arange(maps.shape[-1], dtype=maps.dtype)
    x, y = (maps.sum(side) * axis for side in (-2, -1))
    return torch.stack([x.sum(-1), y.sum(-1)], -1) / maps.sum((-2, -1))[..., None]


class TestWarp:
    @given(seeds, st.sampled_from([2, 4]))
    @settings(max_examples=15)
    def test_is_scipys(self, seed: int, stride: int) -> None:
        """Of oblong maps and any turn, from the similarity itself rather than from labels."""
        rng = np.random.default_rng(seed)
        height, width = 9, 13
        maps = rng.normal(size=(1, 3, 2, height, width))
        ways = [similarity(rng.uniform(0.5, 2), rng.uniform(-3, 3), (20, 15), rng.uniform(10, 30, 2)) for _ in "23"]
        found = back_to_first(torch.from_numpy(maps), labels_of(rng.uniform(0, 40, (2, 2)), *ways), stride)
        assert found.maps.shape == maps.shape and found.covered.shape == (1, 3, height, width)
        for view, way in enumerate(ways, 1):
            sources = slow_sources(way, height, width, stride)
            assert (found.covered[0, view].numpy() == slow_shown(sources)).all()
            for k in range(2):
                assert_allclose(found.maps[0, view, k], slow_warp(maps[0, view, k], sources), atol=1e-9)

    @given(seeds)
    @settings(max_examples=10)
    def test_the_first_view_comes_back_bit_for_bit(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        labels = labels_of(rng.uniform(30, 90, (5, 2)), random_way(rng)).float()
        maps = torch.from_numpy(rng.normal(size=(1, 2, 5, CELLS, CELLS))).float()
        back = back_to_first(maps, labels, STRIDE)
        assert torch.equal(back.maps[:, 0], maps[:, 0])
        assert back.covered[:, 0].all()
        twice = back_to_first(maps, labels[:, [1, 1]], STRIDE)  # a second view that is none
        assert_allclose(twice.maps[:, 1], maps[:, 1], atol=2e-4)
        assert twice.covered.all()

    def test_half_precision_is_lifted(self) -> None:
        rng = np.random.default_rng(0)
        labels = labels_of(rng.uniform(30, 90, (5, 2)), random_way(rng)).float()
        maps = subpixel.encode(labels, CELLS, STRIDE).bfloat16()
        back = back_to_first(maps, labels, STRIDE).maps
        assert back.dtype == torch.float32
        assert torch.equal(back, back_to_first(maps.float(), labels, STRIDE).maps)


class TestBlobs:
    """Of one face under random similarities, every view's Gaussians drawn at that view's own labels."""

    @pytest.mark.parametrize(("sigma", "fraction"), [(1.0, 0.1), (2.0, 0.05)])
    @given(seed=seeds)
    @settings(max_examples=40)
    def test_lie_on_each_other_to_a_fraction_of_a_cell(self, seed: int, sigma: float, fraction: float) -> None:
        rng = np.random.default_rng(seed)
        way = random_way(rng)
        labels = labels_of(MIDDLE + rng.uniform(-15, 15, (6, 2)), way).float()
        back = back_to_first(subpixel.encode(labels, CELLS, STRIDE, sigma), labels, STRIDE).maps[0].double()
        apart = (centroid(back[1]) - centroid(back[0])).norm(dim=-1)
        assert apart.max() < fraction
        # linear interpolation of f is off by 1/8 of f'' in x and in y; a Gaussian's is 1 / sigma^2 at most
        same = heatmap(cells_from_pixels(labels[0, 0].double(), STRIDE), CELLS, sigma / scale_of(way))
        assert (back[1] - same).abs().max() < 2 / 8 / sigma**2 + 1e-3

    def test_lie_on_each_other_on_average(self) -> None:
        """Half a pixel lost on the way would make 0.18 of the 0.018 cells."""
        rng = np.random.default_rng(0)
        labels = torch.cat([labels_of(MIDDLE + rng.uniform(-15, 15, (6, 2)), random_way(rng)) for _ in range(200)])
        back = back_to_first(subpixel.encode(labels.float(), CELLS, STRIDE), labels.float(), STRIDE).maps.double()
        apart = centroid(back[:, 1]) - centroid(back[:, 0])
        assert apart.square().sum(-1).mean().sqrt() < 0.025
        assert apart.mean((0, 1)).abs().max() < 0.003


class TestCovered:
    @pytest.mark.parametrize(("shift_px", "lost"), [(0, 0), (16, 4), (6, 2), (-6, 2), (200, CELLS)])
    def test_is_what_the_other_view_shows(self, shift_px: float, lost: int) -> None:
        first = np.array([[50.0, 60.0], [70.0, 61.0]])
        labels = labels_of(first, shifted(shift_px)).float()
        covered = back_to_first(torch.zeros(1, 2, 2, CELLS, CELLS), labels, STRIDE).covered[0, 1]
        assert covered.any(0).sum() == CELLS - lost
        assert covered[:, 0 if shift_px >= 0 else -1].all() == (lost < CELLS)
        assert torch.equal(covered, covered[:1].expand(CELLS, CELLS))

    def test_a_blob_outside_the_second_view_does_not_count(self) -> None:
        """The second label is 40 px further right in the second view, beyond its border."""
        first = np.array([[30.0, 60.0], [174.0, 60.0]])
        labels = labels_of(first, shifted(40)).float()
        target = subpixel.encode(labels[:, 0], CELLS, STRIDE)
        maps = torch.zeros(1, 2, 2, CELLS, CELLS, requires_grad=True)
        loss = siamese_loss(maps, labels, target, STRIDE)
        assert loss[0, 0] > 1e-3
        assert loss[0, 1] < 1e-6
        (gradient,) = torch.autograd.grad(loss.sum(), maps)
        assert not gradient[0, 0, :, :, -10:].any()  # the first view's last 10 columns are outside the second
        assert not gradient[0, 1, :, :, :10].any()

    def test_views_of_nothing_in_common_cost_nothing(self) -> None:
        labels = labels_of(np.array([[30.0, 60.0], [110.0, 60.0]]), shifted(200)).float()
        maps = torch.ones(1, 2, 2, CELLS, CELLS)
        assert siamese_loss(maps, labels, torch.zeros(1, 2, CELLS, CELLS), STRIDE).tolist() == [[0, 0]]


def slow_loss(maps: Array, ways: list[Array], target: Array, stride: int) -> Array:
    """Of one face (V, K, H, W), cell by cell."""
    count, landmarks, height, width = maps.shape
    sources = [slow_sources(way, height, width, stride) for way in ways]
    covered = np.logical_and.reduce([slow_shown(source) for source in sources])
    losses = np.zeros(landmarks)
    for k in range(landmarks):
        warped = [slow_warp(view[k], source) for view, source in zip(maps[1:], sources, strict=True)]
        views = [maps[0, k], *warped]
        errors = [
            (sum(view[cell] for view in views) / count - target[k][cell]) ** 2
            for cell in np.ndindex(height, width)
            if covered[cell]
        ]
        losses[k] = sum(errors) / max(len(errors), 1)
    return losses


class TestLoss:
    @given(seeds, st.integers(2, 4))
    @settings(max_examples=10)
    def test_is_the_slow_one(self, seed: int, count: int) -> None:
        rng = np.random.default_rng(seed)
        maps, target = rng.normal(size=(2, count, 3, 8, 8)), rng.normal(size=(2, 3, 8, 8))
        faces = [
            [similarity(rng.uniform(0.8, 1.25), rng.normal(), (15, 15), rng.normal(15, 3, 2)) for _ in range(count - 1)]
            for _ in range(2)
        ]
        labels = torch.cat([labels_of(rng.uniform(5, 25, (3, 2)), *ways) for ways in faces])
        found = siamese_loss(torch.from_numpy(maps), labels, torch.from_numpy(target), STRIDE)
        expected = [slow_loss(maps[n], ways, target[n], STRIDE) for n, ways in enumerate(faces)]
        assert_allclose(found, expected, rtol=1e-7)

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_of_views_alike_is_the_heatmap_loss_of_their_mean(self, count: int) -> None:
        rng = np.random.default_rng(0)
        labels = labels_of(rng.uniform(20, 110, (4, 2)), *[shifted(0)] * (count - 1)).float()
        target = subpixel.encode(labels, CELLS, STRIDE)
        assert_allclose(siamese_loss(target, labels, target[:, 0], STRIDE), torch.zeros(1, 4), atol=1e-9)
        maps = torch.from_numpy(rng.normal(size=target.shape)).float()
        found = siamese_loss(maps, labels, target[:, 0], STRIDE)
        assert found.dtype == torch.float32
        assert_allclose(found, heatmap_loss(maps.mean(1), target[:, 0]), rtol=1e-4)

    def test_errors_of_two_views_that_cancel_cost_nothing(self) -> None:
        """What is compared is the merged map, as in Eq. 6."""
        labels = labels_of(np.array([[50.0, 60.0], [70.0, 61.0]]), shifted(0)).float()
        target = subpixel.encode(labels, CELLS, STRIDE)
        error = 0.3 * torch.randn(target[:, 0].shape, generator=torch.Generator().manual_seed(0))
        maps = torch.stack([target[:, 0] + error, target[:, 1] - error], 1)
        assert siamese_loss(maps, labels, target[:, 0], STRIDE).max() < 1e-8

    def test_right_maps_cost_a_small_part_of_empty_ones(self) -> None:
        """What resampling and unlike scales leave over."""
        rng = np.random.default_rng(0)
        labels = torch.cat([labels_of(MIDDLE + rng.uniform(-15, 15, (6, 2)), random_way(rng)) for _ in range(100)])
        maps = subpixel.encode(labels.float(), CELLS, STRIDE)
        right, empty = (siamese_loss(m, labels.float(), maps[:, 0], STRIDE).mean() for m in (maps, 0 * maps))
        assert 0 < right / empty < 0.015

    def test_every_view_learns_by_the_true_gradient(self) -> None:
        rng = np.random.default_rng(0)
        ways = [similarity(1.1, 0.4, (15, 15), (17, 14)), similarity(0.9, -0.3, (15, 15), (14, 15))]
        labels = labels_of(rng.uniform(8, 22, (2, 2)), *ways)
        target = torch.from_numpy(rng.normal(size=(1, 2, 8, 8)))
        maps = torch.from_numpy(rng.normal(size=(1, 3, 2, 8, 8))).requires_grad_()
        assert torch.autograd.gradcheck(lambda m: siamese_loss(m, labels, target, STRIDE), (maps,))
        (gradient,) = torch.autograd.grad(siamese_loss(maps, labels, target, STRIDE).sum(), maps)
        assert (gradient.abs().sum((0, 2, 3, 4)) > 0.01).all()
