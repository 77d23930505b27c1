"""The codecs of the papers: round trips, borders and corners included, each stated accuracy, and decode's slow twins.

What they share with train.codecs.decoders is tested there, their engines in tests/export/test_codecs_in_engines.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor

from train.codecs import hih, integer, offsets, subpixel
from train.codecs.decoders import DECODERS
from train.codecs.gaussian import cells_from_pixels, decode, pixels_from_cells
from train.codecs.hih import Places

Array = np.ndarray[Any, np.dtype[np.float64]]
CELLS, STRIDE = 16, 4
SIZE = CELLS * STRIDE
CORNERS = [(-0.5, -0.5), (-0.5, 63.49), (63.49, -0.5), (63.49, 63.49), (0, 0), (63, 63), (0, 31.5), (31.5, 63)]

seeds = st.integers(0, 10**6)
both = pytest.mark.parametrize("places", ["middles", "edges"])
inside = st.lists(
    st.tuples(*2 * [st.floats(-0.5, 63.49)]), min_size=1, max_size=6
)  # wherever in the crop, borders included


def tensor(points: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(points, dtype=torch.float32)


def log(maps: Tensor) -> Tensor:
    """(1, K, H, W) the logits of heatmaps (K, H, W)."""
    return maps.clamp_min(1e-30).log()[None]


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def through_hih(points: Tensor, decimals: int, places: Places) -> Tensor:
    maps, small = hih.encode(points, CELLS, STRIDE, decimals=decimals, places=places)
    return hih.decode(log(maps), small[None], STRIDE, places=places)[0][0]


def through_vector(points: Tensor) -> Tensor:
    maps, vector = offsets.encode_vector(points, CELLS, STRIDE)
    return offsets.decode_vector(log(maps), vector[None], STRIDE)[0][0]


def through_map(points: Tensor) -> Tensor:
    maps, offset_map = offsets.encode_map(points, CELLS, STRIDE)
    return offsets.decode_map(log(maps), offset_map[None], STRIDE)[0][0]


def through_subpixel(points: Tensor, temperature: float = subpixel.TEMPERATURE) -> Tensor:
    return subpixel.decode(subpixel.encode(points, CELLS, STRIDE)[None], STRIDE, temperature=temperature)[0][0]


def largest(found: Tensor, points: Tensor) -> float:
    """The larger error of x and y, in cells."""
    return float((found - points).abs().max()) / STRIDE


class TestInteger:
    @pytest.mark.parametrize("sigma", [1.0, 1.5])
    def test_is_the_slow_gaussian_on_the_points_cell(self, sigma: float) -> None:
        (image,) = integer.encode(tensor([(21.7, 2.2)]), CELLS, STRIDE, sigma)
        for row, column in np.ndindex(CELLS, CELLS):
            dx, dy = column - 5, row - 0  # 21.7 lies in the pixels 20 .. 23
            drawn = max(abs(dx), abs(dy)) <= 3 * sigma
            expected = math.exp(-(dx * dx + dy * dy) / (2 * sigma**2)) if drawn else 0
            assert image[row, column].item() == pytest.approx(expected, rel=1e-5)

    def test_every_decoder_answers_the_cells_middle(self) -> None:
        """Away from the border, where the map cuts the Gaussian: half a cell is all that can be had."""
        inner = torch.arange(4.0, CELLS - 4)
        cells = torch.cartesian_prod(inner, inner)
        corner = pixels_from_cells(cells - 0.5, STRIDE)  # no pixel's middle: the cell's own first edge
        maps = log(integer.encode(corner, CELLS, STRIDE, 1.0))
        for name, decoder in DECODERS.items():
            assert_allclose(cells_from_pixels(decoder(maps, STRIDE)[0][0], STRIDE), cells, atol=2e-4, err_msg=name)

    @given(inside)
    @settings(max_examples=40)
    def test_argmax_is_at_most_half_a_cell_off(self, points: list[tuple[float, float]]) -> None:
        maps = log(integer.encode(tensor(points), CELLS, STRIDE, 1.5))
        assert largest(DECODERS["argmax"](maps, STRIDE)[0][0], tensor(points)) <= 0.5 + 1e-6

    def test_a_point_outside_has_the_nearest_cell(self) -> None:
        cell, fraction = integer.split(tensor([(-4.5, 70), (65.5, 5)]), CELLS, STRIDE)
        assert cell.tolist() == [[0, 15], [15, 1]]
        assert fraction.tolist() == [[-1, 2.625], [1.5, 0.375]]


class TestHih:
    @pytest.mark.parametrize("decimals", [4, 8, 16])
    @given(inside)
    @settings(max_examples=30)
    def test_middles_are_at_most_half_a_decimal_cell_off(
        self, decimals: int, points: list[tuple[float, float]]
    ) -> None:
        found = through_hih(tensor(points), decimals, "middles")
        assert largest(found, tensor(points)) <= 0.5 / decimals + 1e-5

    @pytest.mark.parametrize("decimals", [4, 8, 16])
    @given(inside)
    @settings(max_examples=30)
    def test_edges_are_up_to_a_decimal_cell_off_in_the_last_half_one(
        self, decimals: int, points: list[tuple[float, float]]
    ) -> None:
        """HIH's code: the error is half a decimal cell but where it rounds up to an edge that has no cell."""
        found = through_hih(tensor(points), decimals, "edges")
        error = (found - tensor(points)).abs() / STRIDE * decimals
        _, fraction = integer.split(tensor(points), CELLS, STRIDE)
        assert (error <= torch.where(fraction * decimals > decimals - 0.5, 1.0, 0.5) + 1e-4).all()

    @both
    def test_the_bounds_are_reached(self, places: Places) -> None:
        """Just before the end of a cell."""
        points = tensor([(21.5, 27.499)])
        bound = {"middles": 0.5, "edges": 1.0}[places] / 8
        assert largest(through_hih(points, 8, places), points) == pytest.approx(bound, abs=1e-3)

    @both
    @pytest.mark.parametrize("point", CORNERS)
    def test_in_corners_and_at_borders(self, places: Places, point: tuple[float, float]) -> None:
        bound = {"middles": 0.5, "edges": 1.0}[places] / 8
        assert largest(through_hih(tensor([point]), 8, places), tensor([point])) <= bound + 1e-5

    def test_a_point_outside_is_moved_to_the_border(self) -> None:
        found = through_hih(tensor([(-300, 70), (64.2, 30)]), 8, "middles")
        assert_allclose(found, [(-0.25, 63.25), (63.25, 30.25)], atol=1e-5)

    @both
    @given(seed=seeds, decimals=st.sampled_from([4, 5, 8]))
    @settings(max_examples=20)
    def test_is_the_slow_twin(self, places: Places, seed: int, decimals: int) -> None:
        maps, small = noise(seed, 2, 3, 9, 11), noise(seed + 1, 2, 3, decimals, decimals + 1)
        if seed % 3 == 0:  # ties
            maps, small = maps.round(), small.round()
        points, scores, covariances = hih.decode(maps, small, STRIDE, places=places)
        for n, k in np.ndindex(2, 3):
            x, y = slow_peak(maps[n, k].numpy())
            i, j = slow_peak(small[n, k].numpy())
            middle = 0.5 if places == "middles" else 0
            expected = [
                (x + (i + middle) / (decimals + 1)) * STRIDE - 0.5,
                (y + (j + middle) / decimals) * STRIDE - 0.5,
            ]
            assert_allclose(points[n, k], expected, atol=1e-4)
        assert_window(maps, scores, covariances)


def slow_peak(values: Any) -> tuple[int, int]:
    """Column and row of the highest cell, the first by rows."""
    best = (0, 0)
    for y, x in np.ndindex(*values.shape):
        if values[y, x] > values[best[1], best[0]]:
            best = (x, y)
    return best


def assert_window(maps: Tensor, scores: Tensor, covariances: Tensor) -> None:
    """Score and covariance mean the same in every codec."""
    _, expected_scores, expected_covariances = decode(maps, STRIDE, 7)
    assert torch.equal(scores, expected_scores)
    assert torch.equal(covariances, expected_covariances)


class TestOffsets:
    @given(inside)
    @settings(max_examples=40)
    def test_the_vector_is_exact(self, points: list[tuple[float, float]]) -> None:
        assert_allclose(through_vector(tensor(points)), tensor(points), atol=2e-5)

    @pytest.mark.parametrize("through", [through_vector, through_map])
    @pytest.mark.parametrize("point", [*CORNERS, (-20.0, 70.0), (100.0, 31.0)])
    def test_in_corners_at_borders_and_outside(
        self, through: Callable[[Tensor], Tensor], point: tuple[float, float]
    ) -> None:
        assert_allclose(through(tensor([point])), tensor([point]), atol=2e-5)

    @given(inside)
    @settings(max_examples=40)
    def test_the_map_is_exact_for_the_last_landmark_of_a_cell(self, points: list[tuple[float, float]]) -> None:
        found = through_map(tensor(points))
        cells = [tuple(cell) for cell in integer.split(tensor(points), CELLS, STRIDE)[0].tolist()]
        last = {cell: points[i] for i, cell in enumerate(cells)}
        assert_allclose(found, [last[cell] for cell in cells], atol=2e-5)

    def test_two_landmarks_in_one_cell(self) -> None:
        found = through_map(tensor([(20, 30), (23, 28.5)]))
        assert_allclose(found, [(23, 28.5)] * 2, atol=1e-5)

    def test_the_map_is_zero_elsewhere(self) -> None:
        _, (x, y) = offsets.encode_map(tensor([(21.5, 30.5), (40.5, 2.5)]), CELLS, STRIDE)
        expected_x, expected_y = np.zeros((2, CELLS, CELLS))
        expected_x[7, 5], expected_y[7, 5] = 0.5, 0.75
        expected_x[0, 10], expected_y[0, 10] = 0.25, 0.75
        assert_allclose(x, expected_x)
        assert_allclose(y, expected_y)

    def test_faces_of_a_batch_do_not_mix(self) -> None:
        points = torch.rand(5, 7, 2, generator=torch.Generator().manual_seed(0)) * 63
        _, together = offsets.encode_map(points, CELLS, STRIDE)
        for face, offset_map in zip(points, together, strict=True):
            assert torch.equal(offsets.encode_map(face, CELLS, STRIDE)[1], offset_map)

    @given(seed=seeds)
    @settings(max_examples=20)
    def test_are_the_slow_twins(self, seed: int) -> None:
        maps, vector, offset_map = noise(seed, 2, 3, 9, 11), noise(seed + 1, 2, 3, 2), noise(seed + 2, 2, 2, 9, 11)
        by_vector, by_map = (
            offsets.decode_vector(maps, vector, STRIDE),
            offsets.decode_map(maps, offset_map, STRIDE),
        )
        for n, k in np.ndindex(2, 3):
            x, y = slow_peak(maps[n, k].numpy())
            expected = (np.array([x, y]) + vector[n, k].numpy()) * STRIDE - 0.5
            assert_allclose(by_vector[0][n, k], expected, atol=1e-4)
            expected = (np.array([x, y]) + offset_map[n, :, y, x].numpy()) * STRIDE - 0.5
            assert_allclose(by_map[0][n, k], expected, atol=1e-4)
        for _, scores, covariances in (by_vector, by_map):
            assert_window(maps, scores, covariances)


def slow_local_soft_argmax(image: Array, window: int, temperature: float) -> tuple[float, float]:
    """Cell by cell, from the paper: the softmax of the patch around the highest cell, moved inside the map."""
    (px, py), (height, width) = slow_peak(image), image.shape
    left = min(max(px - window // 2, 0), max(width - window, 0))
    top = min(max(py - window // 2, 0), max(height - window, 0))
    x = y = total = 0.0
    for row in range(top, min(top + window, height)):
        for column in range(left, min(left + window, width)):
            weight = math.exp(temperature * (image[row, column] - image[py, px]))
            x, y, total = x + weight * column, y + weight * row, total + weight
    return x / total, y / total


class TestSubpixel:
    def test_peak_is_1_where_the_point_is(self) -> None:
        (image,) = subpixel.encode(pixels_from_cells(tensor([(5.0, 3.25)]), STRIDE), CELLS, STRIDE)
        assert image[3, 5].item() == pytest.approx(math.exp(-(0.25**2) / 2))
        assert image[3, 7].item() == pytest.approx(math.exp(-(0.25**2 + 4) / 2), rel=1e-5)

    @pytest.mark.parametrize(("temperature", "bound"), [(5.0, 0.064), (10.0, 0.151)])
    @given(seed=seeds)
    @settings(max_examples=8)
    def test_inside(self, temperature: float, bound: float, seed: int) -> None:
        """The bounds are the largest errors over a fine grid of a cell; ten times as near as they state."""
        cells = torch.rand(400, 2, generator=torch.Generator().manual_seed(seed)) * (CELLS - 5) + 2
        points = pixels_from_cells(cells, STRIDE)
        error = largest(through_subpixel(points, temperature), points)
        assert 0.9 * bound < error < bound

    def test_the_printed_peak_would_be_twice_as_far_off(self) -> None:
        """Eq. 1 divides by 2 pi sigma squared."""
        cells = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)) * (CELLS - 5) + 2
        points = pixels_from_cells(cells, STRIDE)
        error = largest(through_subpixel(points, subpixel.TEMPERATURE / (2 * math.pi)), points)
        assert 0.31 < error < 0.33

    @pytest.mark.parametrize("point", [*CORNERS, (1.5, 1.5), (31.5, 1.5)])
    def test_in_corners_and_at_borders(self, point: tuple[float, float]) -> None:
        assert largest(through_subpixel(tensor([point])), tensor([point])) < 0.57

    @given(seed=seeds, window=st.sampled_from([3, 5, 7]), temperature=st.sampled_from([1.0, 10.0]))
    @settings(max_examples=30)
    def test_is_the_slow_twin(self, seed: int, window: int, temperature: float) -> None:
        maps = noise(seed, 2, 3, 9, 11)
        points, _, _ = subpixel.decode(maps, STRIDE, window, temperature)
        for n, k in np.ndindex(2, 3):
            x, y = slow_local_soft_argmax(maps[n, k].double().numpy(), window, temperature)
            assert_allclose(points[n, k], ((x + 0.5) * STRIDE - 0.5, (y + 0.5) * STRIDE - 0.5), atol=5e-4)
