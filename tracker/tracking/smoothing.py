"""Smoothing that hardly lags, over the points of one face: the One Euro filter, and a Kalman filter.

Both count in face sizes and seconds, by the timestamps, so that neither the picture's resolution nor an unsteady
frame rate changes the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np

from tracker.errors import expect_choice
from tracker.face.geometry import LARGEST_PX, Array

SHORTEST_S, LONGEST_S = 1e-6, 3600.0  # between two frames; others are no frame rate, but another clock or a pause
SIZES_PX = (1e-3, LARGEST_PX)  # of a face


class Smoother(Protocol):
    """Steadies the points of one face from frame to frame."""

    def __call__(self, points_px: Array, timestamp_s: float, face_size_px: float, covariances_px2: Array) -> Array:
        """The smoothed points, (K, 2) pixels like those given.

        timestamp_s: at the same time as before, or an earlier one, after more than LONGEST_S, or with another number
        of points, the filter starts anew. face_size_px: any measure of the face that grows with it, in SIZES_PX.
        covariances_px2: (K, 3) xx, xy, yy of the points.

        Raises ValueError for another face_size_px, and for a point beyond LARGEST_PX.
        """
        ...


class OneEuro:
    """A low-pass filter whose cutoff rises with speed: a point at rest is smoothed hard, a moving one hardly at all.

    G. Casiez, N. Roussel and D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
    Interactive Systems", CHI 2012. Every point has its own speed and so its own cutoff. The first points are averaged
    at least, because a face that has just been found is measured worst.

    min_cutoff_hz: cutoff at rest; lower is steadier. beta: how many Hz the cutoff rises per face size a
    second; higher lags less. derivative_cutoff_hz: cutoff of the speed itself; higher reacts sooner.

    The defaults come from a synthetic study at 30 frames a second with noise of .3 % of the face's size
    (test_smoothing.py repeats it): a still face keeps .45 of the noise and .17 of its frame-to-frame shake;
    one moving at one face size a second lags 5 ms; a blink of 200 ms keeps .89 of its depth, lips that
    swing at 3 Hz .95 of their swing. Lower min_cutoff_hz gains little there, because the noise itself is
    counted as speed; beta 10 leaves .4 of the noise, but only .75 of the blink.
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
        self._velocity = np.zeros((0, 2))  # face sizes a second
        self._count = 0

    def __call__(
        self, points_px: Array, timestamp_s: float, face_size_px: float, covariances_px2: Array | None = None
    ) -> Array:
        """As Smoother says; the covariances are not looked at."""
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
    """A copy of the points. Raises ValueError for numbers of no face, whose products could overflow."""
    points_px = np.array(points_px, dtype=np.float64)
    least, most = SIZES_PX
    if not (least <= face_size_px <= most and (np.abs(points_px) <= LARGEST_PX).all()):
        raise ValueError(
            f"expected points within {LARGEST_PX:g} pixels and a face_size_px of {least:g} to {most:g}, got one of "
            f"{face_size_px} and points up to {np.abs(points_px).max(initial=0):g}"
        )
    return points_px


def _weight(cutoff_hz: float | Array, step_s: float) -> float | Array:
    """How much of the new value a first-order low-pass filter takes after step_s seconds, 0..1."""
    turns = 2 * np.pi * cutoff_hz * step_s
    return turns / (1 + turns)


class Kalman:
    """A Kalman filter of constant velocity whose measurement noise is what the net says of each point.

    Sure points are followed, unsure ones are smoothed; x and y are filtered apart, by the covariances' xx and yy.
    (Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, 6.2.2.)

    noise: the frame-to-frame variance of a point over its covariance; below 1, for a covariance also holds what stays
    the same from frame to frame. restlessness: spectral density of the white acceleration, in squared face sizes over
    cubed seconds; higher lags less. agility: how much more restless a point is for each squared standard deviation by
    which it surprises, so that a sudden move is followed.
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
        self._uncertainty = np.zeros((3, 0, 2))  # of place, of place with velocity, of velocity; px and s

    def __call__(self, points_px: Array, timestamp_s: float, face_size_px: float, covariances_px2: Array) -> Array:
        """As Smoother says."""
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
        place, mixed, velocity = self._uncertainty
        predicted = self._points_px + step_s * self._velocity_px_s
        surprise = points_px - predicted
        calm = place + step_s * (2 * mixed + step_s * velocity) + variance
        restless = self.restlessness * face_size_px**2 * (1 + self.agility * surprise**2 / calm)
        place = place + step_s * (2 * mixed + step_s * velocity) + restless * step_s**3 / 3
        mixed = mixed + step_s * velocity + restless * step_s**2 / 2
        velocity = velocity + restless * step_s
        gain, gain_s = place / (place + variance), mixed / (place + variance)
        self._points_px = predicted + gain * surprise
        self._velocity_px_s = self._velocity_px_s + gain_s * surprise
        self._uncertainty = np.stack([(1 - gain) * place, (1 - gain) * mixed, velocity - gain_s * mixed])


Smoothing = Literal["none", "accurate", "balanced", "steady", "covariance"]
PRESETS: Mapping[Smoothing, Callable[[], Smoother]] = {
    "none": lambda: lambda points_px, *_: points_px,
    "accurate": lambda: OneEuro(beta=60.0),
    "balanced": OneEuro,
    "steady": lambda: OneEuro(min_cutoff_hz=0.1, beta=10.0, derivative_cutoff_hz=5.0),
    "covariance": Kalman,
}
"""Smoothers by name, from the one that lags least to the steadiest, and the one that goes by the net's covariances.
benchmarks/smoothing.md has the jitter and the lag of each."""


def make_smoother(smoothing: Smoothing) -> Smoother:
    """Return a new filter for one face.

    Raises:
        TrackerError: for a name that is none of PRESETS.
    """
    expect_choice("smoothing", smoothing, PRESETS)
    return PRESETS[smoothing]()
