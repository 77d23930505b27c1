"""Where to look next: the view of a face from a detection or its last landmarks, and when to detect again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tracker.face.crop import Roi, eye_rotation_rad, roi_of_landmarks
from tracker.face.landmarks import Landmarks


@dataclass(frozen=True)
class BoxHabit:
    """What a detector's box spans, along the axes of the upright face and over the box's side sqrt(w * h).

    right, down: from the middle of the box to the middle of the landmarks' view. side: of the view.
    """

    right: float
    down: float
    side: float


BOX_HABITS = {
    "yunet": BoxHabit(0.0, 0.15, 1.12),
    "blazeface": BoxHabit(0.0, 0.05, 1.15),
    "mediapipe": BoxHabit(0.0, 0.05, 1.15),
}
"""Medians over 600 faces of FairFace: fitted by tools/box_habits.py. MediaPipe's network is BlazeFace."""


def roi_of_detection(box_px: ArrayLike, eyes_px: ArrayLike, habit: BoxHabit) -> Roi:
    """The view of a detected face, upright along its eyes.

    box_px: (4,) x, y, width, height. eyes_px: (2, 2) the subject's right eye, then left.
    """
    x, y, width, height = np.asarray(box_px, np.float64)
    right_eye, left_eye = np.asarray(eyes_px, np.float64)
    rotation = math.atan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0])
    size = math.sqrt(width * height)
    cos, sin = math.cos(rotation), math.sin(rotation)
    across, down = habit.right * size, habit.down * size
    center = (x + width / 2 + cos * across - sin * down, y + height / 2 + sin * across + cos * down)
    return Roi(center, habit.side * size, rotation)


def next_roi(landmarks: Landmarks) -> Roi:
    """The view for the next frame: the landmarks' extent, upright along their outer eye corners."""
    return roi_of_landmarks(landmarks.points_px, eye_rotation_rad(landmarks.points_px, landmarks.scheme))


class DetectionSchedule:
    """When to run the detector: in every frame without a face; every hurry_s while one coasts, which it may find
    elsewhere; else every interval_s, for newcomers and for what is no face any more."""

    def __init__(self, interval_s: float = 1.0, hurry_s: float = 0.1) -> None:
        self.interval_s = interval_s
        self.hurry_s = hurry_s
        self._last_s = -math.inf

    def due(self, measured: int, coasting: int, timestamp_s: float) -> bool:
        """Whether to detect at this time, given how many faces have just been measured, and how many could not be."""
        wait_s = self.hurry_s if coasting else self.interval_s
        return measured == 0 or not 0 <= timestamp_s - self._last_s < wait_s

    def detected(self, timestamp_s: float) -> None:
        """Note that the detector has run."""
        self._last_s = timestamp_s
