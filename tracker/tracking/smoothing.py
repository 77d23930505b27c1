"""Temporal smoothing of the points of one face with little lag: the One Euro filter, and a Kalman filter.

Both work in face sizes and in seconds of the timestamps, so the result depends neither on the picture's resolution nor
on a varying frame rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np

from tracker.errors import expect_choice
from tracker.face.geometry import LARGEST_PX, Array

SHORTEST_S, LONGEST_S = 1e-6, 3600.0  # between two frames; another interval is a change of clock or a pause
SIZES_PX = (1e-3, LARGEST_PX)  # of a face


class Smoother(Protocol):
    """The protocol of a filter for the points of one face."""

    def __call__(self, points_px: Array, timestamp_s: float, face_size_px: float, covariances_px2: Array) -> Array:
        """Filter the points of the next frame.

        The filter restarts if the time does not increase, after more than LONGEST_S, and if the number of points
        changes.

        Args:
            points_px: (K, 2) pixels.
            timestamp_s: of the frame, in seconds.
            face_size_px: any length that is proportional to the face, within SIZES_PX.
            covariances_px2: (K, 3) xx, xy, yy of the points.

        Returns:
            The smoothed points (K, 2).

        Raises:
            ValueError: for another face_size_px, and for a point beyond LARGEST_PX.
        """
        ...


class OneEuro:
    """A low-pass filter whose cutoff rises with speed: points at rest are smoothed strongly, moving ones hardly.

    G. Casiez, N. Roussel and D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
    Interactive Systems", CHI 2012. Every point has its own speed and therefore its own cutoff. The first few points are
    at least averaged, because a face that has just been found is measured least accurately.

    The defaults come from a synthetic study at 30 frames per second with noise of 0.3 % of the face's size
    (test_smoothing.py repeats it): a face at rest keeps 0.45 of the noise and 0.17 of its frame-to-frame jitter; one
    that moves by one face size per second lags by 5 ms; a blink of 200 ms keeps 0.89 of its depth, lips that oscillate
    at 3 Hz keep 0.95 of their amplitude. A lower min_cutoff_hz gains little there, because the noise itself counts as
    speed; beta 10 leaves 0.4 of the noise, but only 0.75 of the blink.

    Args:
        min_cutoff_hz: cutoff at rest; lower values smooth more.
        beta: increase of the cutoff in Hz per face size per second; higher values lag less.
        derivative_cutoff_hz: cutoff of the speed itself; higher values react sooner.
    """

    def __init__(self, min_cutoff_hz: float = 0.3, beta: float = 30.0, derivative_cutoff_hz: float = 2.0) -> None:
        self.min_cutoff_hz = min_cutoff_hz
        self.beta = beta
        self.derivative_cutoff_hz = derivative_cutoff_hz
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next points pass unchanged."""
        self._timestamp_s = np.inf
        self._points_px = np.zeros((0, 2))
        self._velocity = np.zeros((0, 2))  # face sizes per second
        self._count = 0

    def __call__(
        self, points_px: Array, timestamp_s: float, face_size_px: float, covariances_px2: Array | None = None
    ) -> Array:
        """See Smoother; the covariances are ignored."""
        points_px = _checked(points_px, face_size_px)
        step_s = timestamp_s - self._timestamp_s
        self._timestamp_s = timestamp_s
        if SHORTEST_S <= step_s <= LONGEST_S and points_px.shape == self._points_px.shape:
            self._advance(points_px, step_s, face_size_px)
        else:
            self._velocity = np.zeros_like(points_px)
            self._points_px, self._count = points_px, 1
        return self._points_px.copy()

    def _advance(self, points_px: Array, step_s: float, face_size_px: float) -> None:
        self._count += 1
        move_px = points_px - self._points_px
        velocity = move_px / (face_size_px * step_s)
        self._velocity += _weight(self.derivative_cutoff_hz, step_s) * (velocity - self._velocity)
        speed = np.hypot(self._velocity[:, :1], self._velocity[:, 1:])
        weight = np.maximum(_weight(self.min_cutoff_hz + self.beta * speed, step_s), 1 / self._count)
        self._points_px += weight * move_px


def _checked(points_px: Array, face_size_px: float) -> Array:
    """Return a copy of the points; raise ValueError for values so large that their products could overflow."""
    points_px = np.array(points_px, dtype=np.float64)
    least, most = SIZES_PX
    if not (least <= face_size_px <= most and (np.abs(points_px) <= LARGEST_PX).all()):
        raise ValueError(
            f"expected points within {LARGEST_PX:g} pixels and a face_size_px of {least:g} to {most:g}, got one of "
            f"{face_size_px} and points up to {np.abs(points_px).max(initial=0):g}"
        )
    return points_px


def _weight(cutoff_hz: float | Array, step_s: float) -> float | Array:
    """Return the weight, 0..1, of the new value in a first-order low-pass filter after step_s seconds."""
    turns = 2 * np.pi * cutoff_hz * step_s
    return turns / (1 + turns)


class Kalman:
    """A constant-velocity Kalman filter whose measurement noise is the model's covariance of each point.

    Points with a low uncertainty are followed closely, others are smoothed. x and y are filtered separately, with the
    covariances' xx and yy. (Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation",
    2001, 6.2.2.)

    Args:
        noise: the frame-to-frame variance of a point divided by its covariance; below 1, because the covariance
            includes errors that are constant over the frames.
        restlessness: spectral density of the white acceleration, in squared face sizes over cubed seconds; higher
            values lag less.
        agility: relative increase of that density per squared standard deviation of the residual, so that a sudden
            motion is followed.
    """

    def __init__(self, noise: float = 0.1, restlessness: float = 0.02, agility: float = 1.0) -> None:
        self.noise = noise
        self.restlessness = restlessness
        self.agility = agility
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next points pass unchanged."""
        self._timestamp_s = np.inf
        self._points_px = np.zeros((0, 2))
        self._velocity_px_s = np.zeros((0, 2))
        self._uncertainty = np.zeros((3, 0, 2))  # variance of position, covariance, variance of velocity; px and s

    def __call__(self, points_px: Array, timestamp_s: float, face_size_px: float, covariances_px2: Array) -> Array:
        """See Smoother."""
        points_px = _checked(points_px, face_size_px)
        variance = self.noise * np.clip(covariances_px2[:, [0, 2]], 1e-6 * face_size_px**2, LARGEST_PX**2)
        step_s = timestamp_s - self._timestamp_s
        self._timestamp_s = timestamp_s
        if SHORTEST_S <= step_s <= LONGEST_S and points_px.shape == self._points_px.shape:
            self._advance(points_px, variance, step_s, face_size_px)
        else:
            self._points_px, self._velocity_px_s = points_px, np.zeros_like(points_px)
            self._uncertainty = np.stack([variance, np.zeros_like(variance), np.full_like(variance, face_size_px**2)])
        return self._points_px.copy()

    def _advance(self, points_px: Array, variance: Array, step_s: float, face_size_px: float) -> None:
        position, mixed, velocity = self._uncertainty
        predicted = self._points_px + step_s * self._velocity_px_s
        residual = points_px - predicted
        expected = position + step_s * (2 * mixed + step_s * velocity) + variance
        density = self.restlessness * face_size_px**2 * (1 + self.agility * residual**2 / expected)
        position = position + step_s * (2 * mixed + step_s * velocity) + density * step_s**3 / 3
        mixed = mixed + step_s * velocity + density * step_s**2 / 2
        velocity = velocity + density * step_s
        gain, gain_s = position / (position + variance), mixed / (position + variance)
        self._points_px = predicted + gain * residual
        self._velocity_px_s = self._velocity_px_s + gain_s * residual
        self._uncertainty = np.stack([(1 - gain) * position, (1 - gain) * mixed, velocity - gain_s * mixed])


Smoothing = Literal["none", "accurate", "balanced", "steady", "covariance"]
PRESETS: Mapping[Smoothing, Callable[[], Smoother]] = {
    "none": lambda: lambda points_px, *_: points_px,
    "accurate": lambda: OneEuro(beta=60.0),
    "balanced": OneEuro,
    "steady": lambda: OneEuro(min_cutoff_hz=0.1, beta=10.0, derivative_cutoff_hz=5.0),
    "covariance": Kalman,
}
"""Smoothers by name, from the least lag to the least jitter, and one that uses the model's covariances;
benchmarks/smoothing.md has the jitter and the lag of each."""


def make_smoother(smoothing: Smoothing) -> Smoother:
    """Return a new filter for one face.

    Args:
        smoothing: its name.

    Raises:
        TrackerError: if it is not in PRESETS.
    """
    expect_choice("smoothing", smoothing, PRESETS)
    return PRESETS[smoothing]()
