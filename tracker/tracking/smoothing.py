"""Temporal smoothing of the points of one face with little lag: a Kalman filter that is strong at rest.

It works in face sizes and in seconds of the timestamps, so the result depends neither on the picture's resolution nor
on a varying frame rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np

from tracker.errors import expect_choice
from tracker.face.geometry import LARGEST_PX, Array

SHORTEST_S, LONGEST_S = 1e-6, 3600.0  # between two frames; another interval is a change of clock or a pause
SIZES_PX = (1e-3, LARGEST_PX)  # of a face
REST = 0.2
"""The share of the velocities' variance that is subtracted from the squared speed, because it may be noise."""
START = 0.3
"""Standard deviation of the velocity of a face that has just been found, in face sizes a second."""


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
            ValueError: for another face_size_px, a point beyond LARGEST_PX, and covariances that are not finite.
        """
        ...


class Kalman:
    """A constant-velocity Kalman filter whose measurement noise is the model's covariance of each point.

    Points with a low uncertainty are followed closely, others are smoothed. x and y are filtered separately, with the
    covariances' xx and yy. (Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation",
    2001, 6.2.2.) As in the One Euro filter (Casiez, Roussel and Vogel, CHI 2012), a face at rest is smoothed strongly
    and a moving one hardly: the density of the acceleration rises with the speed. The speed is that of the whole face,
    the root of the mean square over its points, which noise hardly changes.

    The defaults were chosen on clips without labels, and on photographs with a known motion (benchmarks/smoothing.md).

    Args:
        noise: the frame-to-frame variance of a point divided by its covariance; below 1, because the covariance
            includes errors that are constant over the frames. Higher values smooth more. The default was chosen with
            the covariances of edge68.
        restlessness: spectral density of the white acceleration of a face at rest, in squared face sizes over cubed
            seconds; higher values lag less.
        restlessness_by_speed: what is added to it per face size a second.
        agility: relative increase of the density with the fourth power of the residual in standard deviations, so that
            a sudden motion is followed, but not what noise explains.
    """

    def __init__(
        self,
        noise: float = 0.024,
        restlessness: float = 3e-5,
        restlessness_by_speed: float = 0.017,
        agility: float = 3.0,
    ) -> None:
        self.noise = noise
        self.restlessness = restlessness
        self.restlessness_by_speed = restlessness_by_speed
        self.agility = agility
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next points pass unchanged."""
        self._timestamp_s = np.inf
        self._points_px = np.zeros((0, 2))
        self._velocity_px_s = np.zeros((0, 2))
        self._position_variance = self._mixed_covariance = self._velocity_variance = np.zeros((0, 2))  # px and s

    def __call__(self, points_px: Array, timestamp_s: float, face_size_px: float, covariances_px2: Array) -> Array:
        """See Smoother."""
        points_px = _checked(points_px, face_size_px, covariances_px2)
        stated = np.minimum(covariances_px2[:, ::2], LARGEST_PX**2)
        variance = self.noise * np.maximum(stated, 1e-6 * face_size_px**2)
        step_s = timestamp_s - self._timestamp_s
        self._timestamp_s = timestamp_s
        if SHORTEST_S <= step_s <= LONGEST_S and points_px.shape == self._points_px.shape:
            self._advance(points_px, variance, step_s, face_size_px)
        else:
            self._points_px, self._velocity_px_s = points_px, np.zeros_like(points_px)
            self._position_variance, self._mixed_covariance = variance, np.zeros_like(variance)
            self._velocity_variance = np.full_like(variance, (START * face_size_px) ** 2)
        return self._points_px.copy()

    def _advance(self, points_px: Array, variance: Array, step_s: float, face_size_px: float) -> None:
        velocity, mixed = self._velocity_variance, self._mixed_covariance
        density = self._density(face_size_px)
        predicted = self._points_px + step_s * self._velocity_px_s
        residual = points_px - predicted
        position = self._position_variance + step_s * (2 * mixed + step_s * velocity)
        unexpected = residual**2 / (position + variance)
        added = density * step_s * (1 + self.agility * unexpected**2)  # to the velocity's variance
        position += step_s**2 / 3 * added
        mixed = mixed + step_s * (velocity + added / 2)
        velocity = velocity + added
        total = position + variance
        gain, gain_s = position / total, mixed / total
        self._points_px = predicted + gain * residual
        self._velocity_px_s = self._velocity_px_s + gain_s * residual
        left = variance / total  # 1 - gain, without cancellation
        self._position_variance, self._mixed_covariance = left * position, left * mixed
        self._velocity_variance = np.maximum(velocity - gain_s * mixed, gain_s**2 * variance)  # rounding

    def _density(self, face_size_px: float) -> float:
        """Return the spectral density of the acceleration in px²/s³, by the speed of the whole face.

        What may be noise in the velocities is subtracted.
        """
        squared = (self._velocity_px_s**2 - REST * self._velocity_variance).sum() / max(len(self._velocity_px_s), 1)
        speed_px_s = math.sqrt(max(float(squared), 0.0))
        return self.restlessness * face_size_px**2 + self.restlessness_by_speed * face_size_px * speed_px_s


Smoothing = Literal["none", "accurate", "balanced", "steady"]
PRESETS: Mapping[Smoothing, Callable[[], Smoother]] = {
    "none": lambda: lambda points_px, *_: points_px,
    "accurate": lambda: Kalman(0.009, 2e-5, 0.02, 3.0),
    "balanced": Kalman,
    "steady": lambda: Kalman(0.11, 2e-5, 0.02, 5.0),
}
"""Smoothers by name, from the least lag to the least jitter; benchmarks/smoothing.md has both of each."""


def _checked(points_px: Array, face_size_px: float, covariances_px2: Array) -> Array:
    """Return a copy of the points; raise ValueError for values so large that their products could overflow."""
    points_px = np.array(points_px, dtype=np.float64)
    least, most = SIZES_PX
    if not (least <= face_size_px <= most and (np.abs(points_px) <= LARGEST_PX).all()):
        raise ValueError(
            f"expected points within {LARGEST_PX:g} pixels and a face_size_px of {least:g} to {most:g}, got one of "
            f"{face_size_px} and points up to {np.abs(points_px).max(initial=0):g}"
        )
    if not np.isfinite(covariances_px2).all():
        raise ValueError("expected finite covariances_px2")
    return points_px


def make_smoother(smoothing: Smoothing) -> Smoother:
    """Return a new filter for one face.

    Args:
        smoothing: its name.

    Raises:
        TrackerError: if it is not in PRESETS.
    """
    expect_choice("smoothing", smoothing, PRESETS)
    return PRESETS[smoothing]()
