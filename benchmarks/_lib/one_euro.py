"""The One Euro filter, which many trackers smooth their landmarks with, to compare ours with."""

from __future__ import annotations

import numpy as np

from tracker.face.geometry import Array
from tracker.tracking.smoothing import LONGEST_S, SHORTEST_S


class OneEuro:
    """A low-pass filter whose cutoff rises with speed: points at rest are smoothed strongly, moving ones hardly.

    G. Casiez, N. Roussel and D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
    Interactive Systems", CHI 2012. Every point has its own speed and therefore its own cutoff. The first few points are
    at least averaged, because a face that has just been found is measured least accurately.

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
        points_px = np.array(points_px, np.float64)
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


def _weight(cutoff_hz: float | Array, step_s: float) -> float | Array:
    """Return the weight, 0..1, of the new value in a first-order low-pass filter after step_s seconds."""
    turns = 2 * np.pi * cutoff_hz * step_s
    return turns / (1 + turns)
