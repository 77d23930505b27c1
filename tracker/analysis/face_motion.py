"""Measures how brows, eyes, mouth and jaw differ from their usual position in this face, each from -1 to 1.

Faces have different shapes, so each quantity is compared with its usual value in the same face. That value is learned
while the face is tracked: first the mean of one second, then a value that follows slowly. So an expression that is held
for a long time becomes the usual one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

import numpy as np

from tracker.analysis.blinks import GAP_S
from tracker.analysis.expression import eye_opening
from tracker.analysis.face_shape import head_points_mm
from tracker.analysis.head_pose import HeadPose
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks

# The change that counts as 1, as a multiple of the distance between the outer eye corners: the rounded 98th percentile
# of the changes in 115 s of seven clips of people who talk and make faces.
RANGES: Mapping[str, float] = {
    **dict.fromkeys(("brow_inner_right", "brow_inner_left"), 0.05),
    **dict.fromkeys(("brow_outer_right", "brow_outer_left"), 0.05),
    **dict.fromkeys(("brow_height_right", "brow_height_left"), 0.045),
    **dict.fromkeys(("brow_steepness_right", "brow_steepness_left"), 0.04),
    **dict.fromkeys(("brow_bend_right", "brow_bend_left"), 0.03),
    **dict.fromkeys(("corner_up_right", "corner_up_left"), 0.08),
    **dict.fromkeys(("corner_out_right", "corner_out_left"), 0.1),
    **dict.fromkeys(("upper_lip_up_right", "upper_lip_up_left"), 0.05),
    **dict.fromkeys(("lower_lip_down_right", "lower_lip_down_left"), 0.065),
    "upper_lip_height": 0.02,
    "lower_lip_height": 0.03,
    "mouth_open": 0.24,
    "mouth_width": 0.18,
    "mouth_side": 0.05,
    "jaw_side": 0.1,
}
SETTLE_S, FOLLOW_S = 1.0, 20.0
"""In the first SETTLE_S seconds the usual value is the mean; then it moves by at most one range in FOLLOW_S seconds."""

EYE_RISE_S, EYE_FALL_S = 0.3, 10.0
"""Time constants, in seconds, with which the usual opening of an eye follows a larger and a smaller opening: fast up,
slow down, so that a blink hardly changes it."""

# Fractions of the usual opening at which an eye counts as closed (-1), as open (0) and as wide open (1). The measured
# opening of a closed eye is about half of that of an open one.
EYE_CLOSED, EYE_OPEN, EYE_WIDE = 0.55, 0.90, 1.40


class FaceMotion:
    """Measures the motion of one face, frame by frame. Make one object for each face id."""

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}
        self._seen_s = math.nan
        self._known_s = 0.0

    def step(
        self, landmarks: Landmarks, raw: Landmarks, pose: HeadPose, camera: Array, timestamp_s: float
    ) -> dict[str, float]:
        """Measure the face in the next frame.

        Args:
            landmarks: the 68 smoothed landmarks, in square pixels.
            raw: the landmarks as measured in this frame, for the eyes, because smoothing weakens blinks.
            pose: from head_pose with the same camera.
            camera: (3, 3) camera matrix, see camera_matrix.
            timestamp_s: time of the frame in seconds. If it is not later than the last one, nothing is learned.

        Returns:
            A number from -1 to 1 for each name in RANGES, and for eye_right and eye_left. Right and left are the
            subject's. Above 0 means: brow_inner, brow_outer, brow_height: higher; brow_steepness: the inner end
            higher; brow_bend: more bent; corner_up: the corner of the mouth higher; corner_out: farther from the
            middle; upper_lip_up: higher; lower_lip_down: lower; upper_lip_height, lower_lip_height: thicker;
            mouth_open: more open; mouth_width: wider; mouth_side, jaw_side: to the subject's left. eye_*: -1 closed,
            0 usual, 1 wide open.
        """
        passed_s = min(timestamp_s - self._seen_s, GAP_S)
        if not passed_s > 0:  # the first frame, or one that is not later than the last
            passed_s = 0.0
        if passed_s or math.isnan(self._seen_s):
            self._seen_s = timestamp_s
        measured = _measure(head_points_mm(landmarks.points_px, pose, camera))
        changes = {name: self._change(name, value, passed_s) for name, value in measured.items()}
        for side, opening in zip(("right", "left"), eye_opening(raw)):
            changes[f"eye_{side}"] = self._eye(f"eye_{side}", opening.ratio, passed_s)
        self._known_s += passed_s
        return changes

    def _change(self, name: str, value: float, passed_s: float) -> float:
        usual, most = self._usual.get(name, value), RANGES[name]
        if self._known_s < SETTLE_S:
            usual += (value - usual) * passed_s / max(self._known_s + passed_s, 1e-9)
        else:
            furthest = most * passed_s / FOLLOW_S
            usual += min(max(value - usual, -furthest), furthest)
        self._usual[name] = usual
        return min(max((value - usual) / most, -1.0), 1.0)

    def _eye(self, name: str, ratio: float, passed_s: float) -> float:
        if not ratio >= 0:  # nan: the corners of the eye are in one place
            return 0.0
        usual = self._usual.get(name, ratio)
        rate_s = EYE_RISE_S if ratio > usual else EYE_FALL_S
        usual += (ratio - usual) * -math.expm1(-passed_s / rate_s)
        self._usual[name] = usual
        share = ratio / usual if usual > 0 else 1.0
        if share < EYE_OPEN:
            return -min((EYE_OPEN - share) / (EYE_OPEN - EYE_CLOSED), 1.0)
        return min(max((share - 1) / (EYE_WIDE - 1), 0.0), 1.0)


def _measure(points_mm: Array) -> dict[str, float]:
    """Compute the quantities of RANGES from points (68, 3) in the head's frame, not yet relative to the usual value."""
    points = points_mm / np.linalg.norm(points_mm[45] - points_mm[36])
    x, up = points[:, 0].tolist(), (-points[:, 1]).tolist()  # Python floats: much faster to read one by one
    lips_up = (up[62] + up[66]) / 2  # the corners of the mouth move with this when the mouth opens
    middle_x = (x[27] + x[30] + x[33]) / 3
    measured: dict[str, float] = {}
    for side, brow, eye, corner, upper, lower in (
        ("right", (17, 18, 19, 20, 21), (36, 39), 48, 50, 58),
        ("left", (26, 25, 24, 23, 22), (42, 45), 54, 52, 56),
    ):
        outer, *middle, inner = heights = [up[index] for index in brow]
        eye_up = (up[eye[0]] + up[eye[1]]) / 2
        measured[f"brow_inner_{side}"] = inner - eye_up
        measured[f"brow_outer_{side}"] = (outer + middle[0]) / 2 - eye_up
        measured[f"brow_height_{side}"] = fmean(heights) - eye_up
        measured[f"brow_steepness_{side}"] = inner - outer
        measured[f"brow_bend_{side}"] = max(middle) - (outer + inner) / 2
        measured[f"corner_up_{side}"] = up[corner] - lips_up
        measured[f"corner_out_{side}"] = abs(x[corner] - middle_x)
        measured[f"upper_lip_up_{side}"] = up[upper] - up[33]
        measured[f"lower_lip_down_{side}"] = up[8] - up[lower]
    measured["upper_lip_height"] = up[51] - up[62]
    measured["lower_lip_height"] = up[66] - up[57]
    measured["mouth_open"] = fmean(up[61:64]) - fmean(up[65:68])
    measured["mouth_width"] = x[54] - x[48]
    measured["mouth_side"] = fmean(x[48:60]) - middle_x
    measured["jaw_side"] = fmean(x[7:10]) - middle_x
    return measured
