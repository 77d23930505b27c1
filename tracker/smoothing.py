"""Smoothing that hardly lags: the One Euro filter over the points of one face.

G. Casiez, N. Roussel and D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012: a low-pass filter whose cutoff rises with speed, so that a point at rest is
smoothed hard and a moving one hardly at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class OneEuro:
    """Smooths (K, 2) points of one face over time; every point has its own speed and so its own cutoff.

    Speed is counted in face sizes a second, so the result does not depend on the picture's resolution, and
    by the timestamps, so it does not depend on the frame rate being steady.

    min_cutoff_hz: cutoff at rest; lower is steadier. beta: how many Hz the cutoff rises per face size a
    second; higher lags less. derivative_cutoff_hz: cutoff of the speed itself; higher reacts sooner.

    The defaults come from a synthetic study at 30 frames a second with noise of .3 % of the face's size
    (test_smoothing.py repeats it): a still face keeps .47 of the noise and .19 of its frame-to-frame shake;
    one moving at one face size a second lags 5 ms; a blink of 200 ms keeps .88 of its depth, lips that
    swing at 3 Hz .95 of their swing. Lower min_cutoff_hz gains little there, because the noise itself is
    counted as speed; beta 10 leaves .4 of the noise, but only .75 of the blink.
    """

    def __init__(self, min_cutoff_hz: float = 0.5, beta: float = 30.0, derivative_cutoff_hz: float = 2.0) -> None:
        self.min_cutoff_hz = min_cutoff_hz
        self.beta = beta
        self.derivative_cutoff_hz = derivative_cutoff_hz
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next points pass unchanged."""
        self._timestamp_s: float | None = None
        self._points_px = np.zeros((0, 2))
        self._velocity = np.zeros((0, 2))  # face sizes a second

    def __call__(self, points_px: Array, timestamp_s: float, face_size_px: float) -> Array:
        """The smoothed points, (K, 2) pixels like those given.

        timestamp_s: at the same time as before, the last result is given again; at an earlier time, or
        with another number of points, the filter starts anew. face_size_px: any measure of the face that
        grows with it, positive.
        """
        points_px = np.array(points_px, dtype=np.float64)
        step_s = 0.0 if self._timestamp_s is None else timestamp_s - self._timestamp_s
        if self._timestamp_s is None or step_s < 0 or points_px.shape != self._points_px.shape:
            self._velocity = np.zeros_like(points_px)
            self._points_px = points_px
        elif step_s > 0:
            self._advance(points_px, step_s, face_size_px)
        self._timestamp_s = timestamp_s
        return self._points_px.copy()

    def _advance(self, points_px: Array, step_s: float, face_size_px: float) -> None:
        move_px = points_px - self._points_px
        velocity = move_px / (face_size_px * step_s)
        self._velocity += _weight(self.derivative_cutoff_hz, step_s) * (velocity - self._velocity)
        speed = np.hypot(self._velocity[:, :1], self._velocity[:, 1:])
        self._points_px += _weight(self.min_cutoff_hz + self.beta * speed, step_s) * move_px


def _weight(cutoff_hz: float | Array, step_s: float) -> float | Array:
    """How much of the new value a first-order low-pass filter takes after step_s seconds, 0..1."""
    turns = 2 * np.pi * cutoff_hz * step_s
    return turns / (1 + turns)
