"""decode_heatmaps against the definition, written as loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker import TrackerError, decode_heatmaps

Array = np.ndarray[Any, np.dtype[np.float64]]


def slowly(logits: Array, stride: int, window: int) -> tuple[Array, float, Array]:
    """Point, score and covariance matrix of one map's window, cell by cell in float64."""
    height, width = logits.shape
    rows, columns = min(window, height), min(window, width)
    peak = max(((y, x) for y in range(height) for x in range(width)), key=lambda at: (logits[at], -at[0], -at[1]))
    top = min(max(peak[0] - rows // 2, 0), height - rows)
    left = min(max(peak[1] - columns // 2, 0), width - columns)
    total = sum(math.exp(value - logits.max()) for value in logits.ravel())
    mass, mean, squares = 0.0, np.zeros(2), np.zeros((2, 2))
    for y in range(top, top + rows):
        for x in range(left, left + columns):
            share = math.exp(logits[y, x] - logits.max()) / total
            place = (np.array([x, y]) + 0.5) * stride - 0.5
            mass += share
            mean += share * place
            squares += share * np.outer(place, place)
    return mean / mass, mass, squares / mass - np.outer(mean, mean) / mass**2


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 8), st.sampled_from([1, 3, 7]))
def test_is_the_definition(seed: int, height: int, width: int, stride: int, window: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (2, 3, height, width))
    output = decode_heatmaps(logits, stride, window)
    for face, landmark in np.ndindex(2, 3):
        point, score, covariance = slowly(logits[face, landmark].astype(np.float32).astype(np.float64), stride, window)
        np.testing.assert_allclose(output.points_px[face, landmark], point, atol=1e-3)
        assert output.scores[face, landmark] == pytest.approx(score, abs=1e-5)
        np.testing.assert_allclose(output.covariances_px2[face, landmark], covariance[[0, 0, 1], [0, 1, 1]], atol=2e-3)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 8), st.sampled_from([1, 3, 7]))
def test_of_the_whole_map_only_the_score_is_the_window_s(
    seed: int, height: int, width: int, stride: int, window: int
) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (1, 1, height, width))
    output = decode_heatmaps(logits, stride, window, decoder="softmax_mean")
    exact = logits[0, 0].astype(np.float32).astype(np.float64)
    point, _, covariance = slowly(exact, stride, max(height, width))
    np.testing.assert_allclose(output.points_px[0, 0], point, atol=1e-3)
    np.testing.assert_allclose(output.covariances_px2[0, 0], covariance[[0, 0, 1], [0, 1, 1]], atol=5e-3)
    assert output.scores[0, 0] == pytest.approx(slowly(exact, stride, window)[1], abs=1e-5)


@pytest.mark.parametrize("decoder", ["local_softmax", "softmax_mean"])
def test_a_single_cell_is_its_middle(decoder: Any) -> None:
    logits = np.full((1, 1, 8, 8), -50.0)
    logits[0, 0, 2, 5] = 50
    output = decode_heatmaps(logits, 4, decoder=decoder)
    np.testing.assert_allclose(output.points_px[0, 0], [21.5, 9.5])  # (5 + 0.5) * 4 - 0.5, (2 + 0.5) * 4 - 0.5
    assert output.scores[0, 0] == pytest.approx(1) and output.points_px.dtype == np.float32


def test_a_temperature_divides_the_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (1, 4, 8, 8))
    warm, divided = decode_heatmaps(logits, 4, temperature=2.5), decode_heatmaps(logits / 2.5, 4)
    np.testing.assert_allclose(warm.points_px, divided.points_px, atol=1e-4)
    np.testing.assert_allclose(warm.scores, divided.scores, atol=1e-5)


def test_covariances_are_narrowed_along_their_axes() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (3, 4, 8, 8))
    wide, narrow = (decode_heatmaps(logits, 4, label_px2=label, floor_px2=0.5) for label in (0.0, 6.0))
    for before, after in zip(wide.covariances_px2.reshape(-1, 3), narrow.covariances_px2.reshape(-1, 3)):
        values, vectors = np.linalg.eigh(before[[0, 1, 1, 2]].reshape(2, 2).astype(np.float64))
        expected = vectors @ np.diag(np.maximum(values - 6.0, 0.5)) @ vectors.T
        np.testing.assert_allclose(after, expected.ravel()[[0, 1, 3]], atol=5e-3)


def test_deviations_are_scaled() -> None:
    logits = np.random.default_rng(2).normal(0, 3, (3, 4, 8, 8))
    alone, scaled = (decode_heatmaps(logits, 4, label_px2=2.0, floor_px2=0.5, deviation_scale=k) for k in (1.0, 1.5))
    np.testing.assert_allclose(scaled.covariances_px2, 2.25 * alone.covariances_px2, rtol=1e-5)
    np.testing.assert_array_equal(scaled.points_px, alone.points_px)


def test_whole_numbers_may_be_floats() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (1, 2, 16, 16))
    as_floats, whole = decode_heatmaps(logits, 4.0, 7.0), decode_heatmaps(logits, 4, 7)  # type: ignore[arg-type]
    np.testing.assert_array_equal(as_floats.points_px, whole.points_px)
    np.testing.assert_array_equal(as_floats.covariances_px2, whole.covariances_px2)


def test_cells_of_minus_infinity_have_no_mass() -> None:
    logits = np.full((1, 1, 8, 8), -np.inf)
    logits[0, 0, 2, 5] = 1.0
    output = decode_heatmaps(logits, 4)
    np.testing.assert_allclose(output.points_px[0, 0], [21.5, 9.5])
    assert output.scores[0, 0] == 1


def test_no_faces() -> None:
    assert decode_heatmaps(np.zeros((0, 68, 32, 32), np.float32), 4).points_px.shape == (0, 68, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logits": np.zeros((68, 32, 32), np.float32)}, "add the dimension of the faces"),
        ({"logits": np.zeros((1, 68, 32, 32), np.uint8)}, "dequantise integers"),
        ({"logits": np.zeros((1, 68, 0, 32), np.float32)}, "expected floating-point heatmaps"),
        ({"stride": 0}, "stride: expected a whole number from 1 on, got 0"),
        ({"window": 2.5}, "window: expected a whole number"),
        ({"temperature": 0.0}, "temperature: expected a number above 0"),
        ({"temperature": math.nan}, "temperature: expected a number above 0"),
        ({"floor_px2": -1.0}, "floor_px2: expected a variance from 0 on, got -1.0"),
        ({"label_px2": math.inf}, "label_px2: expected a variance from 0 on, got inf"),
        ({"stride": math.nan}, "stride: expected a whole number from 1 on, got nan"),
        ({"stride": math.inf}, "stride: expected a whole number"),
        ({"window": None}, "window: expected a whole number from 1 on, got None"),
        ({"temperature": "2"}, "temperature: expected a number above 0, got '2'"),
        ({"temperature": 1e-320, "logits": np.ones((1, 2, 4, 4))}, "expected a finite peak in each map"),
        ({"logits": [[[[1.0], [1.0, 2.0]]]]}, "logits: expected heatmaps"),
        ({"logits": np.full((1, 2, 4, 4), math.nan)}, "expected a finite peak in each map"),
        ({"logits": np.full((1, 2, 4, 4), -math.inf)}, "expected a finite peak in each map"),
        ({"logits": np.full((1, 2, 4, 4), 1e300)}, "expected a finite peak in each map"),
        ({"deviation_scale": 0.0}, "deviation_scale: expected a number from 0.01 to 100"),
        ({"deviation_scale": 1e200}, "deviation_scale: expected a number from 0.01 to 100"),
        ({"decoder": "dark"}, "decoder: expected local_softmax or softmax_mean, got 'dark'"),
        ({"deviation_scale": math.nan}, "deviation_scale: expected a number from 0.01 to 100"),
    ],
)
def test_a_mistake_is_one_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(TrackerError, match=words):
        decode_heatmaps(**{"logits": np.zeros((1, 2, 4, 4), np.float32), "stride": 4, **change})
