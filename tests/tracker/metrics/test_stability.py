"""The measures of stability against slow references, and against motion whose figures are known."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tracker.metrics import stability

Array = NDArray[np.float64]
NAN = float("nan")
seeds = st.integers(0, 10_000)


def motion(times: Array) -> Array:
    """(T, 4, 2) a square that pans and turns smoothly, at any times in frames."""
    corners = np.array([[-40, -40], [40, -40], [40, 40], [-40, 40]], np.float64)
    angle = 0.3 * np.sin(times / 9)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    path = np.stack([60 * np.sin(times / 12), 30 * np.cos(times / 7)], axis=1)
    return np.asarray(corners @ turn.transpose(0, 2, 1) + path[:, None])


def noisy(seed: int, size: float, count: int = 60) -> Array:
    return motion(np.arange(count)) + np.random.default_rng(seed).normal(0, size, (count, 4, 2))


def with_holes(rows: Array, seed: int) -> Array:
    rows = rows.copy()
    rows[np.random.default_rng(seed).random(len(rows)) < 0.2] = NAN
    return rows


def whole(rows: Array, *frames: int) -> bool:
    return all(0 <= t < len(rows) and bool(np.isfinite(rows[t]).all()) for t in frames)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else NAN


class TestAcceleration:
    @given(seeds)
    def test_is_the_mean_over_whole_windows(self, seed: int) -> None:
        rows, length = with_holes(noisy(seed, 1), seed), np.linspace(50, 90, 60)
        expected = []
        for t in range(1, 59):
            if whole(rows, t - 1, t, t + 1):
                shakes = [math.dist(rows[t - 1, k] + rows[t + 1, k], 2 * rows[t, k]) for k in range(4)]
                expected.append(mean(shakes) / length[t])
        assert stability.acceleration(rows, length) == pytest.approx(mean(expected))

    @given(seeds, st.floats(-5, 5), st.floats(-5, 5))
    def test_does_not_see_steady_motion(self, seed: int, x: float, y: float) -> None:
        rows, steps = noisy(seed, 1), np.arange(60)[:, None, None] * np.array([x, y])
        assert stability.acceleration(rows + steps, np.ones(60)) == pytest.approx(
            stability.acceleration(rows, np.ones(60))
        )

    def test_of_alternating_points_is_four_times_their_swing(self) -> None:
        rows = np.zeros((10, 3, 2))
        rows[::2, :, 0] = 2
        assert stability.acceleration(rows - 1, np.full(10, 50.0)) == pytest.approx(4 * 1 / 50)


class TestOffset:
    @given(seeds, seeds)
    def test_constant_offsets_are_no_error(self, seed: int, other: int) -> None:
        truth = noisy(seed, 1)
        offsets = np.random.default_rng(other).normal(0, 9, (4, 2))
        assert stability.offset_removed(with_holes(truth + offsets, other), truth, np.ones(60)) == pytest.approx(
            0, abs=1e-9
        )

    @given(seeds)
    def test_what_is_left_is_the_mean_distance(self, seed: int) -> None:
        truth, length = noisy(seed, 1), np.linspace(50, 90, 60)
        rows = with_holes(noisy(seed + 1, 3), seed)
        frames = [t for t in range(60) if whole(rows, t)]
        offsets = [[mean([rows[t, k, i] - truth[t, k, i] for t in frames]) for i in (0, 1)] for k in range(4)]
        expected = [
            mean([math.dist(rows[t, k] - offsets[k], truth[t, k]) for k in range(4)]) / length[t] for t in frames
        ]
        assert stability.offset_removed(rows, truth, length) == pytest.approx(mean(expected))


class TestLag:
    @given(st.floats(-3.5, 3.5), seeds)
    def test_of_delayed_motion_is_its_delay(self, delay: float, seed: int) -> None:
        times = np.arange(120, dtype=np.float64)
        offsets = np.random.default_rng(seed).normal(0, 5, (4, 2))
        assert stability.lag_frames(motion(times - delay) + offsets, motion(times)) == pytest.approx(delay, abs=0.02)

    @given(seeds)
    def test_noise_and_holes_do_not_draw_it_away(self, seed: int) -> None:
        times = np.arange(400, dtype=np.float64)
        noise = np.random.default_rng(seed).normal(0, 1, (2, 400, 4, 2))
        late = with_holes(motion(times - 0.5) + noise[0], seed)
        assert stability.lag_frames(late, motion(times) + noise[1], most=3) == pytest.approx(0.5, abs=0.06)

    def test_is_that_of_a_low_pass_filter(self) -> None:
        """A first-order filter that takes the share k delays slow motion by (1 - k) / k."""
        rows = motion(np.arange(600) / 4)
        slow = rows.copy()
        for t in range(1, len(rows)):
            slow[t] = slow[t - 1] + 0.4 * (rows[t] - slow[t - 1])
        assert stability.lag_frames(slow, rows) == pytest.approx(0.6 / 0.4, abs=0.03)

    @pytest.mark.parametrize(
        ("rows", "reference"),
        [
            (np.zeros((50, 4, 2)), np.zeros((50, 4, 2))),
            (motion(np.arange(10)), motion(np.arange(10))),
            (np.full((50, 4, 2), NAN), motion(np.arange(50))),
            (motion(np.arange(90) - 9), motion(np.arange(90))),
        ],
        ids=["still", "short", "missing", "out of range"],
    )
    def test_is_not_given_where_there_is_none(self, rows: Array, reference: Array) -> None:
        assert math.isnan(stability.lag_frames(rows, reference))


def slow_fhr(points: Array, truth: Array) -> list[float]:
    """delay, accuracy, smoothness, deviation, over flat vectors as FHR's MATLAB has them."""
    delays, accuracies, smooths, deviations = [], [], [], []
    for t in range(len(points)):
        size = max(np.ptp(truth[t, :, 0]), np.ptp(truth[t, :, 1])) / 100
        m = points.reshape(len(points), -1)
        p = truth.reshape(len(truth), -1)
        rms = math.sqrt(2 / m.shape[1]) / size
        if whole(points, t) and whole(truth, t):
            accuracies.append(rms * math.dist(m[t], p[t]))
            if whole(truth, t - 1):
                back = p[t - 1] - p[t]
                delays.append(float((m[t] - p[t]) @ back / (back @ back)))
        if whole(points, t - 1, t, t + 1) and whole(truth, t):
            smooths.append(rms * math.dist(m[t], (m[t - 1] + m[t + 1]) / 2))
            shares = np.linspace(0, 1, 20_001)[:, None]
            on_segment = m[t - 1] + shares * (m[t + 1] - m[t - 1])
            deviations.append(rms * float(np.linalg.norm(m[t] - on_segment, axis=1).min()))
    return [mean(values) for values in (delays, accuracies, smooths, deviations)]


class TestFhr:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_against_the_slow_one(self, seed: int) -> None:
        points, truth = with_holes(noisy(seed, 2), seed), with_holes(noisy(seed, 0.1), seed + 9)
        assert astuple(stability.fhr_stability(points, truth)) == pytest.approx(slow_fhr(points, truth), rel=1e-6)

    def test_delay_is_in_frames(self) -> None:
        times = np.arange(200, dtype=np.float64)
        assert stability.fhr_stability(motion(times - 1), motion(times)).delay == pytest.approx(1, abs=1e-9)
        assert math.isnan(stability.fhr_stability(np.zeros((5, 4, 2)), motion(np.zeros(5))).delay)


@given(seeds, st.floats(0.1, 20))
def test_mean_jitter_against_the_slow_one_at_any_size(seed: int, zoom: float) -> None:
    points, truth = with_holes(noisy(seed, 2), seed), noisy(seed, 0.1)
    frames = []
    for t in range(59):
        if whole(points, t, t + 1):
            size = math.sqrt(np.ptp(truth[t + 1, :, 0]) * np.ptp(truth[t + 1, :, 1])) / 256
            change = (truth - points)[t] - (truth - points)[t + 1]
            frames.append(mean([(100 * math.hypot(*change[k]) / size) ** 2 for k in range(4)]))
    assert stability.mean_jitter(zoom * points, zoom * truth) == pytest.approx(math.sqrt(mean(frames)))


def slow_losses(lost: list[bool], compared: list[bool]) -> stability.Losses:
    begun, recovered, times, first, number = None, [], 0, None, 0
    start = compared.index(True) if True in compared else 0
    for t, gone in enumerate(lost):
        if not compared[t]:
            continue
        number += gone
        if first is None and not gone:
            first = t - start
        elif first is not None and gone and begun is None:
            begun, times = t, times + 1
        elif begun is not None and not gone:
            recovered.append(t - begun)
            begun = None
    return stability.Losses(sum(compared), number, first, times, tuple(recovered))


class TestLosses:
    @given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
    def test_against_the_slow_one(self, frames: list[tuple[bool, bool]]) -> None:
        lost, compared = [list(column) for column in zip(*frames)] if frames else ([], [])
        assert stability.losses(np.array(lost, bool), np.array(compared, bool)) == slow_losses(lost, compared)

    @pytest.mark.parametrize(
        ("frames", "expected"),
        [
            ("++++", stability.Losses(4, 0, 0, 0, ())),
            ("--++", stability.Losses(4, 2, 2, 0, ())),
            ("+--+-+--", stability.Losses(8, 5, 0, 3, (2, 1))),
            ("+-..+", stability.Losses(3, 1, 0, 1, (3,))),  # two frames do not count, but pass
            ("----", stability.Losses(4, 4, None, 0, ())),
        ],
    )
    def test_by_hand(self, frames: str, expected: stability.Losses) -> None:
        marks: Any = np.array(list(frames))
        assert stability.losses(marks == "-", marks != ".") == expected


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_frames_give_no_figure_and_no_warning(count: int) -> None:
    rows, length = noisy(0, 1, count), np.ones(count)
    assert math.isnan(stability.acceleration(rows, length))
    assert math.isnan(stability.lag_frames(rows, rows))
    assert math.isnan(stability.fhr_stability(rows, rows).smoothness)
    assert math.isnan(stability.mean_jitter(rows, rows)) == (count < 2)
    assert math.isnan(stability.offset_removed(rows, rows, length)) == (count == 0)
    assert stability.losses(np.ones(count, bool), np.zeros(count, bool)) == stability.Losses(0, 0, None, 0, ())
