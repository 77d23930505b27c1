"""The One Euro filter: its symmetries, its behaviour in time, and the study its defaults come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.tracking.smoothing import Kalman, OneEuro, Smoothing, make_smoother

FPS = 30
Array = np.ndarray[Any, np.dtype[np.float64]]

seeds = st.integers(0, 2**32 - 1)
factors = st.floats(0.05, 50)


def walk(seed: int, count: int = 25) -> tuple[Array, Array]:
    """A shaky walk of 5 points over a face of 200 px, (count, 5, 2), and uneven times, (count,)."""
    generator = np.random.default_rng(seed)
    points = np.cumsum(generator.normal(0, 3, (count, 5, 2)), 0) + generator.uniform(0, 2000, (5, 2))
    return points, np.cumsum(generator.uniform(0.005, 0.2, count))


def run(points: Array, times: Array, size: float = 200.0, smooth: OneEuro | None = None) -> Array:
    smooth = smooth or OneEuro()
    return np.array([smooth(p, t, size) for p, t in zip(points, times.tolist(), strict=True)])


def slow_reference(points: Array, times: Array, size: float, cutoff: float, beta: float, dcutoff: float) -> Array:
    """The paper's algorithm 1, number by number, with the speed of both coordinates taken together; the first points
    are averaged at least."""

    def alpha(cutoff_hz: float, rate_hz: float) -> float:
        tau, period = 1 / (2 * np.pi * cutoff_hz), 1 / rate_hz
        return 1 / (1 + tau / period)

    out = points.copy()
    for k in range(points.shape[1]):
        speed = [0.0, 0.0]
        for t in range(1, len(points)):
            rate = float(1 / (times[t] - times[t - 1]))
            for c in range(2):
                now = float(points[t, k, c] - out[t - 1, k, c]) * rate / size
                speed[c] = alpha(dcutoff, rate) * now + (1 - alpha(dcutoff, rate)) * speed[c]
            a = max(alpha(cutoff + beta * float(np.hypot(speed[0], speed[1])), rate), 1 / (t + 1))
            for c in range(2):
                out[t, k, c] = a * points[t, k, c] + (1 - a) * out[t - 1, k, c]
    return out


@given(seeds, st.floats(0.1, 5), st.floats(0, 100), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_is_the_filter_of_the_paper(seed: int, cutoff: float, beta: float, dcutoff: float) -> None:
    points, times = walk(seed)
    expected = slow_reference(points, times, 200.0, cutoff, beta, dcutoff)
    np.testing.assert_allclose(run(points, times, 200.0, OneEuro(cutoff, beta, dcutoff)), expected, rtol=1e-9)


@given(seeds, factors)
def test_scale(seed: int, factor: float) -> None:
    points, times = walk(seed)
    np.testing.assert_allclose(run(points * factor, times, 200 * factor), run(points, times) * factor, rtol=1e-9)


@given(seeds, st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_translation(seed: int, x: float, y: float) -> None:
    points, times = walk(seed)
    np.testing.assert_allclose(run(points + (x, y), times), run(points, times) + (x, y), atol=1e-7)


@given(seeds, st.floats(0, 2 * np.pi))
def test_rotation(seed: int, angle: float) -> None:
    points, times = walk(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(run(points @ turn, times), run(points, times) @ turn, atol=1e-7)


@given(seeds, factors, st.floats(-1e6, 1e6))
def test_time(seed: int, factor: float, start: float) -> None:
    """Everything so many times slower, with the cutoffs so many times lower, gives the same points."""
    points, times = walk(seed)
    slower = run(points, start + times * factor, 200.0, OneEuro(0.3 / factor, 30, 2 / factor))
    np.testing.assert_allclose(slower, run(points, times), atol=1e-3)


@given(seeds)
def test_constant_points_stay(seed: int) -> None:
    points, times = walk(seed)
    still = np.broadcast_to(points[0], points.shape)
    assert (run(still, times) == still).all()


@given(seeds)
def test_lies_between_the_last_result_and_the_new_point(seed: int) -> None:
    points, times = walk(seed)
    smooth = run(points, times)
    low, high = np.minimum(smooth[:-1], points[1:]), np.maximum(smooth[:-1], points[1:])
    assert ((smooth[1:] >= low - 1e-9) & (smooth[1:] <= high + 1e-9)).all()


def test_each_point_by_itself() -> None:
    points, times = walk(0)
    alone = run(points[:, 2:3], times)
    np.testing.assert_allclose(run(points, times)[:, 2:3], alone)


def test_what_is_measured_badly_at_first_does_not_linger() -> None:
    """A still face, whose first measurement lay 5 px off."""
    points = np.zeros((FPS, 4, 2))
    points[0] = 5
    left = np.abs(run(points, np.arange(FPS) / FPS)).max((1, 2))
    assert left[2] < 2 and left[10] < 0.5


def test_converges_after_a_jump() -> None:
    points = np.zeros((2 * FPS, 68, 2))
    points[1:] = 100
    left = np.abs(run(points, np.arange(2 * FPS) / FPS) - 100).max((1, 2))
    assert (np.diff(left) <= 0).all() and left[3] < 5 and left[-1] < 0.01


def test_long_gap_takes_the_new_point() -> None:
    smooth = OneEuro()
    smooth(np.zeros((5, 2)), 0.0, 200.0)
    np.testing.assert_allclose(smooth(np.full((5, 2), 80.0), 60.0, 200.0), 80, atol=1)


@pytest.mark.parametrize("late_s", [0.0, -5.0])
@pytest.mark.parametrize("name", ["accurate", "balanced", "steady", "covariance"])
def test_time_that_stands_still_or_goes_back_and_other_points_start_anew(name: Smoothing, late_s: float) -> None:
    """A clock that stands still would otherwise freeze the face."""
    points, times = walk(4)
    smooth, covariances = make_smoother(name), np.ones((points.shape[1], 3))
    for place, time in zip(points, times.tolist()):
        smooth(place, time, 200.0, covariances)
    jumped = points[7] + 50
    assert (smooth(jumped, times[-1] + late_s, 200.0, covariances) == jumped).all()
    assert (smooth(points[7, :3], 99.1, 200.0, covariances[:3]) == points[7, :3]).all()


def test_reset_and_what_is_done_with_a_result() -> None:
    points, times = walk(3)
    smooth = OneEuro()
    last = run(points, times, 200.0, smooth)[-1]
    smooth(points[-1], 99.0, 200.0)[:] += 1000  # no business of the filter's
    smooth.reset()
    np.testing.assert_allclose(run(points, times, 200.0, smooth)[-1], last)


class TestKalman:
    """As a slow reference that takes each coordinate by itself, with matrices."""

    @staticmethod
    def slow(points: Array, times: Array, variance: Array, size: float, filtered: Kalman) -> Array:
        states: dict[tuple[int, int], tuple[Array, Array]] = {}
        out = points.copy()
        for n in range(len(points)):
            for k, axis in np.ndindex(points.shape[1:]):
                z, r = points[n, k, axis], filtered.noise * variance[k, axis]
                if n == 0:
                    states[k, axis] = np.array([z, 0.0]), np.diag([r, size**2])
                    continue
                dt = times[n] - times[n - 1]
                x, p = states[k, axis]
                move = np.array([[1, dt], [0, 1]])
                x, p = move @ x, move @ p @ move.T
                surprise = z - x[0]
                q = filtered.restlessness * size**2 * (1 + filtered.agility * surprise**2 / (p[0, 0] + r))
                p = p + q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
                gain = p[:, 0] / (p[0, 0] + r)
                x, p = x + gain * surprise, (np.eye(2) - np.outer(gain, [1, 0])) @ p
                states[k, axis] = x, p
                out[n, k, axis] = x[0]
        return out

    def test_against_the_reference(self) -> None:
        points, times = walk(5)
        points, times = points[:40, :3], times[:40]
        variance = np.random.default_rng(0).uniform(1, 30, (3, 2))
        covariances = np.stack([variance[:, 0], np.zeros(3), variance[:, 1]], 1)
        smooth = Kalman()
        got = np.array([smooth(p, float(t), 200.0, covariances) for p, t in zip(points, times)])
        np.testing.assert_allclose(got, self.slow(points, times, variance, 200.0, smooth), rtol=1e-9)

    def test_unsure_points_are_smoothed_more(self) -> None:
        noise, smooth = np.random.default_rng(0).normal(0, 1, (300, 2, 2)), Kalman()
        covariances = np.array([[4.0, 0, 4.0], [400.0, 0, 400.0]])
        out = np.array([smooth(p, n / FPS, 200.0, covariances) for n, p in enumerate(noise)])[FPS:]
        sure, unsure = out.std((0, 2)) / noise[FPS:].std((0, 2))
        assert unsure < 0.7 * sure < 1

    def test_steady_motion_does_not_lag(self) -> None:
        times, smooth = np.arange(5 * FPS) / FPS, Kalman()
        points = np.repeat(np.repeat(200 * times[:, None, None], 2, 1), 2, 2)  # a face size a second
        out = np.array([smooth(p, float(t), 200.0, np.full((2, 3), 25.0)) for p, t in zip(points, times)])
        np.testing.assert_allclose(out[2 * FPS :], points[2 * FPS :], atol=0.2)


def test_leaves_its_input_alone() -> None:
    points, times = walk(5)
    before = points.copy()
    run(points, times)
    assert (points == before).all()


class TestStudy:
    """What the defaults' docstring states: a face of size 1, .3 % noise, 30 frames a second."""

    times = np.arange(10 * FPS) / FPS
    noise = np.random.default_rng(0).normal(0, 0.003, (10 * FPS, 68, 2))

    def smoothed(self, x: Array) -> Array:
        """x: (T,) the motion of all points along x. The smoothed noisy points, (T, 68, 2)."""
        points = self.noise.copy()
        points[..., 0] += x[:, None]
        return run(points, self.times, 1.0)

    def test_still_face(self) -> None:
        smooth = self.smoothed(np.zeros_like(self.times))[FPS:]
        noise = self.noise[FPS:]
        assert smooth.std() / noise.std() == pytest.approx(0.45, abs=0.02)  # at least halved
        shake = [np.linalg.norm(np.diff(z, 2, axis=0), axis=2).mean() for z in (smooth, noise)]
        assert shake[0] / shake[1] == pytest.approx(0.17, abs=0.02)

    def test_face_moving_at_its_own_size_a_second(self) -> None:
        lag_s = (self.times[:, None] - self.smoothed(self.times)[..., 0])[5 * FPS :].mean()
        assert lag_s == pytest.approx(0.005, abs=0.001)  # a frame is .033

    def test_blink(self) -> None:
        """The lid moves by 5 % of the face and back, within 200 ms."""
        depth = []
        for centre_s in (2, 3, 4, 5):
            near = np.abs(self.times - centre_s) < 0.1
            wave = 0.025 * (1 + np.cos(2 * np.pi * (self.times - centre_s) / 0.2)) * near
            around = slice(centre_s * FPS - 1, centre_s * FPS + 4)
            depth.append(self.smoothed(wave)[around, :, 0].max(0).mean() / 0.05)
        assert np.mean(depth) == pytest.approx(0.89, abs=0.03)

    def test_talking(self) -> None:
        """The lips swing by 3 % of the face, three times a second."""
        wave = 0.03 * np.sin(2 * np.pi * 3 * self.times)
        assert self.smoothed(wave)[FPS:, :, 0].std() / wave[FPS:].std() == pytest.approx(0.95, abs=0.03)

    def test_steady_at_60_frames_a_second_too(self) -> None:
        smooth = run(self.noise, self.times / 2, 1.0)[FPS:]
        assert smooth.std() / self.noise[FPS:].std() < 0.5
