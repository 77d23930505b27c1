"""The Kalman filter: a slow reference, its symmetries, its behaviour in time, and what its presets keep of a motion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.tracking import smoothing
from tracker.tracking.smoothing import REST, START, Kalman, Smoothing, make_smoother

FPS = 30
Array = np.ndarray[Any, np.dtype[np.float64]]

seeds = st.integers(0, 2**32 - 1)
factors = st.floats(0.05, 50)
NAMES: tuple[Smoothing, ...] = ("accurate", "balanced", "steady")


def walk(seed: int, count: int = 25) -> tuple[Array, Array]:
    """A shaky walk of 5 points over a face of 200 px, (count, 5, 2), and uneven times, (count,)."""
    generator = np.random.default_rng(seed)
    points = np.cumsum(generator.normal(0, 3, (count, 5, 2)), 0) + generator.uniform(0, 2000, (5, 2))
    return points, np.cumsum(generator.uniform(0.005, 0.2, count))


def run(
    points: Array, times: Array, size: float = 200.0, smooth: Kalman | None = None, covariance: float = 9.0
) -> Array:
    """The smoothed points, all with the same round covariance in squared pixels of a face of 200."""
    smooth = smooth or Kalman()
    round_ones = np.tile([covariance, 0, covariance], (points.shape[1], 1)) * (size / 200) ** 2
    return np.array([smooth(p, t, size, round_ones) for p, t in zip(points, times.tolist(), strict=True)])


def slow(points: Array, times: Array, variance: Array, size: float, filtered: Kalman) -> Array:
    """Each coordinate by itself, with matrices."""
    moves = [*np.ndindex(points.shape[1:])]
    states = {
        at: (np.array([points[0][at], 0.0]), np.diag([filtered.noise * variance[at], (START * size) ** 2]))
        for at in moves
    }
    out = points.copy()
    for n in range(1, len(points)):
        dt = times[n] - times[n - 1]
        squared = sum(x[1] ** 2 - REST * p[1, 1] for x, p in states.values()) / points.shape[1]
        speed = np.sqrt(max(squared, 0)) / size
        density = (filtered.restlessness + filtered.restlessness_by_speed * speed) * size**2
        for at in moves:
            r = filtered.noise * variance[at]
            x, p = states[at]
            move = np.array([[1, dt], [0, 1]])
            x, p = move @ x, move @ p @ move.T
            surprise = points[n][at] - x[0]
            q = density * (1 + filtered.agility * (surprise**2 / (p[0, 0] + r)) ** 2)
            p = p + q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            gain = p[:, 0] / (p[0, 0] + r)
            x, p = x + gain * surprise, (np.eye(2) - np.outer(gain, [1, 0])) @ p
            states[at] = x, p
            out[n][at] = x[0]
    return out


@given(seeds, st.floats(0.01, 1), st.floats(1e-6, 1e-2), st.floats(0, 0.2), st.floats(0, 30))
@settings(max_examples=20, deadline=None)
def test_against_the_reference(seed: int, noise: float, restlessness: float, by_speed: float, agility: float) -> None:
    points, times = walk(seed)
    variance = np.random.default_rng(0).uniform(1, 30, (5, 2))
    covariances = np.stack([variance[:, 0], np.zeros(5), variance[:, 1]], 1)
    smooth = Kalman(noise, restlessness, by_speed, agility)
    found = np.array([smooth(p, float(t), 200.0, covariances) for p, t in zip(points, times)])
    np.testing.assert_allclose(found, slow(points, times, variance, 200.0, smooth), rtol=1e-7)


@given(seeds, factors)
def test_scale(seed: int, factor: float) -> None:
    points, times = walk(seed)
    np.testing.assert_allclose(run(points * factor, times, 200 * factor), run(points, times) * factor, rtol=1e-7)


@given(seeds, st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_translation(seed: int, x: float, y: float) -> None:
    points, times = walk(seed)
    np.testing.assert_allclose(run(points + (x, y), times), run(points, times) + (x, y), atol=1e-5)


@given(seeds, st.floats(0, 2 * np.pi))
def test_rotation(seed: int, angle: float) -> None:
    """With round covariances, and without agility, which works on x and y separately."""
    points, times = walk(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = run(points, times, smooth=Kalman(agility=0.0)) @ turn
    np.testing.assert_allclose(run(points @ turn, times, smooth=Kalman(agility=0.0)), expected, atol=1e-5)


@given(seeds, factors, st.floats(-1e5, 1e5))
@settings(deadline=None)
def test_time(seed: int, factor: float, start: float) -> None:
    """Everything so many times slower, the accelerations as much smaller, gives the same points."""
    points, times = walk(seed)
    slower = Kalman(0.024, 3e-5 / factor**3, 0.017 / factor**2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smoothing, "START", START / factor)
        found = run(points, start + times * factor, 200.0, slower)
    np.testing.assert_allclose(found, run(points, times), atol=1e-2)


@given(seeds)
def test_constant_points_stay(seed: int) -> None:
    points, times = walk(seed)
    still = np.broadcast_to(points[0], points.shape)
    assert (run(still, times) == still).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_measured_badly_at_first_does_not_linger(name: Smoothing) -> None:
    """A still face, whose first measurement lay 5 px off."""
    smooth, covariances = make_smoother(name), np.tile([9.0, 0, 9.0], (4, 1))
    first = [np.full((4, 2), 5.0 if n == 0 else 0.0) for n in range(FPS)]
    left = [np.abs(smooth(points, n / FPS, 200.0, covariances)).max() for n, points in enumerate(first)]
    assert left[1] < 2 and max(left[2:]) < 1 and max(left[10:]) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_converges_after_a_jump(name: Smoothing) -> None:
    smooth, covariances = make_smoother(name), np.tile([9.0, 0, 9.0], (68, 1))
    jump = [np.full((68, 2), 100.0 if n >= FPS else 0.0) for n in range(3 * FPS)]
    found = np.array([smooth(points, n / FPS, 200.0, covariances) for n, points in enumerate(jump)])
    left = np.abs(found[FPS:] - 100).max((1, 2))
    assert left[1] < 1 and left[-1] < 0.01
    assert found.max() < 100.5  # it hardly overshoots


def test_a_huge_jump_leaves_no_trace() -> None:
    """A gain that rounds to 1 makes no variance zero or negative."""
    rng = np.random.default_rng(0)
    for size in (3.0, 50.0, 1e4):
        smooth, covariances = Kalman(), np.tile([1e-3, 0, 1e-3], (68, 1))
        for n in range(4 * FPS):
            points = rng.normal(0, 0.1, (68, 2)) + (200 * size if n >= 2 * FPS else 0)
            found = smooth(points, n / FPS, 200.0, covariances)
            if n > 2 * FPS:
                assert np.abs(found - points).max() < 1


def test_covariances_that_are_no_numbers_are_refused() -> None:
    smooth = Kalman()
    with pytest.raises(ValueError, match="finite covariances"):
        smooth(np.zeros((2, 2)), 0.0, 200.0, np.full((2, 3), np.nan))
    assert (smooth(np.ones((2, 2)), 0.1, 200.0, np.ones((2, 3))) == 1).all()


def test_long_gap_takes_the_new_point() -> None:
    smooth, covariances = Kalman(), np.tile([9.0, 0, 9.0], (5, 1))
    smooth(np.zeros((5, 2)), 0.0, 200.0, covariances)
    np.testing.assert_allclose(smooth(np.full((5, 2), 80.0), 60.0, 200.0, covariances), 80, atol=1)


@pytest.mark.parametrize("late_s", [0.0, -5.0])
@pytest.mark.parametrize("name", NAMES)
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
    smooth = Kalman()
    last = run(points, times, 200.0, smooth)[-1]
    smooth(points[-1], 99.0, 200.0, np.ones((5, 3)))[:] += 1000  # no business of the filter's
    smooth.reset()
    np.testing.assert_allclose(run(points, times, 200.0, smooth)[-1], last)


def test_leaves_its_input_alone() -> None:
    points, times = walk(5)
    before = points.copy()
    run(points, times)
    assert (points == before).all()


def test_unsure_points_are_smoothed_more() -> None:
    noise, smooth = np.random.default_rng(0).normal(0, 1, (300, 2, 2)), Kalman()
    covariances = np.array([[4.0, 0, 4.0], [400.0, 0, 400.0]])
    out = np.array([smooth(p, n / FPS, 200.0, covariances) for n, p in enumerate(noise)])[FPS:]
    sure, unsure = out.std((0, 2)) / noise[FPS:].std((0, 2))
    assert unsure < 0.7 * sure < 1


@pytest.mark.parametrize("name", NAMES)
def test_steady_motion_does_not_lag(name: Smoothing) -> None:
    times, smooth = np.arange(5 * FPS) / FPS, make_smoother(name)
    points = np.repeat(np.repeat(200 * times[:, None, None], 2, 1), 2, 2)  # a face size a second
    out = np.array([smooth(p, float(t), 200.0, np.full((2, 3), 25.0)) for p, t in zip(points, times)])
    np.testing.assert_allclose(out[2 * FPS :], points[2 * FPS :], atol=0.2)


class TestPresets:
    """A face of size 1, 30 frames a second, with the frame-to-frame noise and the covariance that `edge68` has in the
    still clips of benchmarks.smoothing: 0.06 % and 1.8 %."""

    times = np.arange(10 * FPS) / FPS
    noise = np.random.default_rng(0).normal(0, 0.0006, (10 * FPS, 68, 2))

    def smoothed(
        self, name: Smoothing, x: Array, times: Array | None = None, moving: slice | list[int] = slice(None)
    ) -> Array:
        """x: (T,) the motion of those points along x. The smoothed noisy points, (T, 68, 2)."""
        points = self.noise.copy()
        points[:, moving, 0] += x[:, None]
        smooth, covariances = make_smoother(name), np.tile([3.3e-4, 0, 3.3e-4], (68, 1))
        times = self.times if times is None else times
        return np.array([smooth(p, t, 1.0, covariances) for p, t in zip(points, times.tolist())])

    @pytest.mark.parametrize(
        ("name", "kept", "shaken"), [("accurate", 0.36, 0.1), ("balanced", 0.33, 0.086), ("steady", 0.27, 0.054)]
    )
    def test_still_face(self, name: Smoothing, kept: float, shaken: float) -> None:
        smooth = self.smoothed(name, np.zeros_like(self.times))[FPS:]
        noise = self.noise[FPS:]
        assert smooth.std() / noise.std() == pytest.approx(kept, abs=0.02)
        shake = [np.linalg.norm(np.diff(z, 2, axis=0), axis=2).mean() for z in (smooth, noise)]
        assert shake[0] / shake[1] == pytest.approx(shaken, abs=0.01)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_face_that_moves_steadily_does_not_lag(self, name: Smoothing) -> None:
        lag_s = (self.times[:, None] - self.smoothed(name, self.times)[..., 0])[5 * FPS :].mean()
        assert abs(lag_s) < 0.001  # a frame is 0.033

    @pytest.mark.parametrize(
        ("name", "moving", "size", "kept"),
        [
            ("accurate", "face", 0.05, 1.0),
            ("balanced", "face", 0.05, 1.03),
            ("steady", "face", 0.05, 0.84),
            ("accurate", "lids", 0.05, 1.01),
            ("balanced", "lids", 0.05, 1.04),
            ("steady", "lids", 0.05, 0.84),
            ("accurate", "lids", 0.02, 0.95),
            ("balanced", "lids", 0.02, 0.83),
            ("steady", "lids", 0.02, 0.29),
        ],
    )
    def test_blink(self, name: Smoothing, moving: str, size: float, kept: float) -> None:
        """They move by so much of the face and back, within 200 ms."""
        points = [37, 38, 43, 44] if moving == "lids" else list(range(68))
        found = []
        for centre_s in (2, 3, 4, 5):
            near = np.abs(self.times - centre_s) < 0.1
            wave = size / 2 * (1 + np.cos(2 * np.pi * (self.times - centre_s) / 0.2)) * near
            around = slice(centre_s * FPS - 1, centre_s * FPS + 4)
            found.append(self.smoothed(name, wave, moving=points)[around][:, points, 0].max(0).mean() / size)
        assert np.mean(found) == pytest.approx(kept, abs=0.03)

    @pytest.mark.parametrize(("name", "kept"), [("accurate", 1.03), ("balanced", 1.03), ("steady", 1.17)])
    def test_talking(self, name: Smoothing, kept: float) -> None:
        """The lips swing by 3 % of the face, three times a second."""
        wave = 0.03 * np.sin(2 * np.pi * 3 * self.times)
        assert self.smoothed(name, wave)[FPS:, :, 0].std() / wave[FPS:].std() == pytest.approx(kept, abs=0.03)

    @pytest.mark.parametrize("name", NAMES)
    def test_steady_at_60_frames_a_second_too(self, name: Smoothing) -> None:
        still = np.zeros_like(self.times)
        at_30, at_60 = (self.smoothed(name, still, times)[FPS:].std() for times in (self.times, self.times / 2))
        assert at_60 < at_30
