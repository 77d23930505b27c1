"""One face that is tracked."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.result import State, TrackedFace
from tracker.tracking.config import TrackerConfig
from tracker.tracking.estimator import Estimate
from tracker.tracking.smoothing import Smoother, Smoothing, make_smoother


class Track:
    """One face, from the frame in which it was found to the one in which it is given up.

    Args:
        number: the id.
        estimate: the face as it was found.
        now_s: the time of that frame, in seconds.
        confident: whether it is clearly visible.
        config: the thresholds.

    Attributes:
        id: unique in one run.
        landmarks: as last measured, in pixels of the picture.
        smoothed: the same after the filter.
        score: of the landmark model then, 0..1.
        seen_s: when it was last measured, in seconds.
        velocity_px_s: (2,) of the middle of the landmarks.
        measured: whether the face was measured in the current frame; one that was not coasts.
        missed: frames in a row in which it was not measured.
        unconfirmed: runs of the detector in a row that did not find it.
        after_cut: whether the scene may have been cut since it was measured.
        confident: whether it has ever been clearly visible (TrackerConfig.confident_margin).
    """

    def __init__(self, number: int, estimate: Estimate, now_s: float, confident: bool, config: TrackerConfig) -> None:
        self.id = number
        self.config = config
        self.velocity_px_s: Array = np.zeros(2)
        self.unconfirmed = 0
        self.confident = confident
        self._smoother: Smoother | None = None
        self._smoothing: Smoothing | None = None
        self._take(estimate, now_s)
        self.smoothed = estimate.landmarks

    def _take(self, estimate: Estimate, now_s: float) -> None:
        self.landmarks: Landmarks = estimate.landmarks
        self.score = estimate.score
        self.seen_s = now_s
        self.measured, self.missed, self.after_cut = True, 0, False
        self.__dict__.pop("size_px", None)

    def begin_frame(self) -> None:
        """Count the face as coasting until it is measured in this frame."""
        self.measured = False
        self.missed += 1

    def update(self, estimate: Estimate, now_s: float) -> None:
        """Take what was measured in this frame, and estimate the velocity."""
        step_s = now_s - self.seen_s
        if step_s > 0:
            moved_px = (estimate.landmarks.points_px - self.landmarks.points_px).sum(0) / len(self.landmarks.points_px)
            change = (moved_px - step_s * self.velocity_px_s) / (step_s + self.config.velocity_time_s)
            self.velocity_px_s = self.velocity_px_s + change
        self._take(estimate, now_s)

    def resume(self, estimate: Estimate, now_s: float, confident: bool) -> None:
        """Take a face that the detector found where this one was predicted, and restart the filter."""
        self.update(estimate, now_s)
        self.unconfirmed = 0
        self.confident = self.confident or confident
        self._smoother = None

    def smooth(self, smoothing: Smoothing) -> None:
        """Filter what was measured in this frame. While the face coasts, the smoothed landmarks stay where they are.

        Another filter than in the last frame starts anew, without a memory.
        """
        if not self.measured:
            return
        if self._smoother is None or smoothing != self._smoothing:
            self._smoother, self._smoothing = make_smoother(smoothing), smoothing
        raw = self.landmarks
        points_px = self._smoother(raw.points_px, self.seen_s, self.size_px, raw.covariances_px2)
        self.smoothed = raw if points_px is raw.points_px else raw.at(points_px)

    @property
    def box_px(self) -> NDArray[np.float64]:
        """(4,) x, y, width, height of the landmarks' extent."""
        return self.landmarks.extent_px

    @cached_property
    def size_px(self) -> float:
        """The square root of the extent's area, at least a pixel."""
        _, _, width, height = self.box_px.tolist()
        return max(math.sqrt(width * height), 1.0)

    def predict_shift_px(self, now_s: float) -> Array:
        """Return how far the face should have moved by then, (2,), at constant velocity."""
        return min(max(now_s - self.seen_s, 0.0), self.config.prediction_horizon_s) * self.velocity_px_s

    def predict_px(self, now_s: float) -> Array:
        """Return where the landmarks should be by then, (K, 2)."""
        return self.landmarks.points_px + self.predict_shift_px(now_s)

    def residual(self, landmarks: Landmarks, now_s: float) -> float:
        """Return the mean distance of landmarks from the predicted ones, in face sizes."""
        away = landmarks.points_px - self.predict_px(now_s)
        return float(np.hypot(away[:, 0], away[:, 1]).sum()) / (len(away) * self.size_px)

    def keeps_its_place(self) -> bool:
        """Whether no other face may take its place: not after the detector missed it, or it was lost at a cut."""
        lost_at_cut = self.after_cut and self.missed >= self.config.max_missed_after_cut
        return self.unconfirmed < self.config.max_unconfirmed and not lost_at_cut

    def to_face(self) -> TrackedFace:
        """Return the face as it is in this frame."""
        state: State = "tracking" if self.measured else "coasting"
        return TrackedFace(self.id, state, self.score, self.smoothed, self.landmarks)
