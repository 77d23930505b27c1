"""Measures of drowsiness from the eyes of one face: PERCLOS, blinks and long closures in a rolling window.

PERCLOS is the fraction of time in which the eyes are at least 80 % closed (P80; Wierwille et al. 1994). Landmarks
measure a closed eye as about half open, so a closure of 80 % cannot be measured: PERCLOS is here the fraction of time
in which Blinks reports closed eyes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.analysis.blinks import BLINK_S, GAP_S, Blink, Blinks, EyeState
from tracker.analysis.head_pose import camera_matrix, head_pose
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.result import TrackedFace
from tracker.sources.as_picture import as_picture

Picture = NDArray[np.uint8]
Unseen = Literal["not measured", "too small", "turned away", "too dark", "covered", "glare"]

MOST_TURNED_DEG = 30
"""Yaw or pitch above which the eyes are not judged: head_pose underestimates larger angles."""

NARROWEST_EYE_PX = 5
"""Width of an eye. On a clip that was shrunk step by step, closures were still detected at 4.3 px, not at 3.1 px."""

DARKEST = 15
"""Mean grey level, 0 to 255, around an eye. On a darkened clip, closures were still detected at 21, not at 10."""

COVERED_BELOW = 0.24
"""Mean grey level of the eyes over that of the cheeks; 2 % of 132 faces of FairFace are below."""

GLARE_LEVEL, GLARE_SHARE = 240, 0.15
"""An eye is hidden by glare if more than GLARE_SHARE of its region has at least the grey level GLARE_LEVEL: 2 % of the
same faces."""

RATE_FROM_S = 10
"""Blinks per minute are given once the eyes were judged for this time."""


@dataclass(frozen=True)
class EyeReport:
    """The eyes in this frame, and their statistics in the window.

    Attributes:
        state: "open", "closed", "untold" (closed or looking down, see Blinks) or "unknown".
        reason: why the state is unknown, otherwise None. "covered": by dark glasses, or in deep shadow.
        opening: 1 is usual for this person, about 0.5 is closed; nan if unknown.
        blink: the blink or closure that ended with this frame, or None.
        down_s: how long the lids have been down, closed or untold, in seconds; 0 while open or unknown.
        perclos: 0 to 1, the closed time over the judged time; nan if there is no judged time.
        perclos_most: the same, with untold time counted as closed.
        blinks_per_minute: blinks over the judged time; nan until RATE_FROM_S were judged.
        blink_s: mean duration of the blinks in seconds; nan without a blink.
        longest_closure_s: the longest closure in the window, including the present one, in seconds; 0 if none.
        longest_untold_s: the same for untold times.
        judged_s: seconds of the window in which the state was open, closed or untold.
        unknown_s: seconds of the window in which the state was unknown.
    """

    state: EyeState | Literal["unknown"]
    reason: Unseen | None
    opening: float
    blink: Blink | None
    down_s: float
    perclos: float
    perclos_most: float
    blinks_per_minute: float
    blink_s: float
    longest_closure_s: float
    longest_untold_s: float
    judged_s: float
    unknown_s: float


class EyeMonitor:
    """Measures PERCLOS, blink rate and closures of one face. Make one object for each face id."""

    def __init__(self, window_s: float = 60.0, focal_px: float | None = None) -> None:
        """Start with an empty window.

        Args:
            window_s: length of the window for PERCLOS and the blink rate, in seconds.
            focal_px: focal length of the camera in pixels, see camera_matrix.

        Raises:
            TrackerError: window_s is not above 0 and finite.
        """
        if not 0 < window_s < math.inf:
            raise TrackerError(f"EyeMonitor: expected a window_s of seconds above 0, got {window_s}")
        self.window_s, self._focal_px = window_s, focal_px
        self._blinks = Blinks()
        self._spans: deque[tuple[float, float, str]] = deque()  # when it ended, for how long, and the state
        self._ended: deque[Blink] = deque()
        self._seen_s = -math.inf

    def step(self, face: TrackedFace, image_rgb: object, timestamp_s: float) -> EyeReport:
        """Take the next frame.

        Args:
            face: a face with 68 landmarks.
            image_rgb: (H, W, 3) uint8, the picture in which the face was found.
            timestamp_s: time of the frame in seconds. A frame that is not later than the last one changes nothing.

        Returns:
            The state of the eyes and the statistics of the window.

        Raises:
            TrackerError: the landmarks have another scheme, or image_rgb is not a picture.
        """
        picture = as_picture(image_rgb)
        reason = find_hindrance(face, picture, self._focal_px)
        passed_s = timestamp_s - self._seen_s
        blink = None
        if passed_s > 0:
            self._seen_s = timestamp_s
            if reason is None:
                blink = self._blinks.step(face.raw, timestamp_s)
            self._note(blink, reason, timestamp_s, passed_s if passed_s <= GAP_S else 0.0)
        return self._report(blink, reason)

    def _note(self, blink: Blink | None, reason: Unseen | None, now_s: float, passed_s: float) -> None:
        """Add the time since the last frame to the window. Lowered lids are added when they rise and are classified."""
        if blink is not None:
            self._ended.append(blink)
            self._spans.append((now_s, blink.duration_s, "closed" if blink.told else "untold"))
        elif reason is not None:
            self._spans.append((now_s, passed_s, "unknown"))
        elif self._blinks.since_s in (None, now_s):
            self._spans.append((now_s, passed_s, "open"))
        while self._spans and self._spans[0][0] < now_s - self.window_s:
            self._spans.popleft()
        while self._ended and self._ended[0].start_s + self._ended[0].duration_s < now_s - self.window_s:
            self._ended.popleft()

    def _report(self, blink: Blink | None, reason: Unseen | None) -> EyeReport:
        spent_s = dict.fromkeys(("open", "closed", "untold", "unknown"), 0.0)
        longest_s = {"closed": 0.0, "untold": 0.0}
        from_s = self._seen_s - self.window_s
        for ended_s, seconds, state in self._spans:
            spent_s[state] += min(seconds, ended_s - from_s)
        for each in self._ended:
            kind = "closed" if each.told else "untold"
            longest_s[kind] = max(longest_s[kind], each.duration_s)
        since_s, down_s = self._blinks.since_s, 0.0
        if since_s is not None and reason is None:
            down_s = self._seen_s - since_s
            spent_s[self._blinks.state] += min(down_s, self.window_s)
            longest_s[self._blinks.state] = max(longest_s[self._blinks.state], down_s)
        judged_s = spent_s["open"] + spent_s["closed"] + spent_s["untold"]
        blinks_s = [each.duration_s for each in self._ended if each.told and each.duration_s <= BLINK_S]
        return EyeReport(
            state="unknown" if reason else self._blinks.state,
            reason=reason,
            opening=math.nan if reason else self._blinks.opening,
            blink=blink,
            down_s=down_s,
            perclos=spent_s["closed"] / judged_s if judged_s else math.nan,
            perclos_most=(spent_s["closed"] + spent_s["untold"]) / judged_s if judged_s else math.nan,
            blinks_per_minute=60 * len(blinks_s) / judged_s if judged_s >= RATE_FROM_S else math.nan,
            blink_s=float(np.mean(blinks_s)) if blinks_s else math.nan,
            longest_closure_s=longest_s["closed"],
            longest_untold_s=longest_s["untold"],
            judged_s=judged_s,
            unknown_s=spent_s["unknown"],
        )


def find_hindrance(face: TrackedFace, picture_rgb: Picture, focal_px: float | None = None) -> Unseen | None:
    """Find out why the eyes of a face cannot be judged.

    Args:
        face: a face with 68 landmarks.
        picture_rgb: (H, W, 3) uint8, the picture in which the face was found.
        focal_px: focal length of the camera in pixels, see camera_matrix.

    Returns:
        The reason; None if the eyes can be judged.

    Raises:
        TrackerError: the landmarks have another scheme.
    """
    if face.state != "tracking":
        return "not measured"
    points = face.raw.points_px
    height, width = picture_rgb.shape[:2]
    pose = head_pose(face.raw, camera_matrix(width, height, focal_px))
    eye_px = [float(np.hypot(*(points[first + 3] - points[first]))) for first in (36, 42)]
    if max(eye_px) < NARROWEST_EYE_PX:
        return "too small"
    if pose is None or max(abs(pose.yaw_rad), abs(pose.pitch_rad)) > math.radians(MOST_TURNED_DEG):
        return "turned away"
    size = max(eye_px)
    eyes = [_region(picture_rgb, points[first : first + 6].mean(0), 0.6 * size, 0.35 * size) for first in (36, 42)]
    cheeks = [_region(picture_rgb, points[list(pair)].mean(0), 0.3 * size, 0.3 * size) for pair in ((1, 31), (15, 35))]
    if not all(each.size for each in eyes):
        return "not measured"  # an eye is outside the picture
    if max(float(each.mean()) for each in eyes) < DARKEST:
        return "too dark"
    bright = [float((each >= GLARE_LEVEL).mean()) for each in eyes]
    if max(bright) > GLARE_SHARE:
        return "glare"
    lit = [float(each.mean()) for each in cheeks if each.size]
    if lit and np.mean([each.mean() for each in eyes]) < COVERED_BELOW * np.mean(lit):
        return "covered"
    return None


def _region(picture_rgb: Picture, middle: Array, half_width: float, half_height: float) -> Picture:
    """Return the grey levels around a point; an empty array outside the picture."""
    height, width = picture_rgb.shape[:2]
    half = np.array([half_width, half_height])
    left, top = np.clip(np.floor(middle - half), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(middle + half) + 1, 0, (width, height)).astype(int)
    part = picture_rgb[top:bottom, left:right]
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY) if part.size else np.empty((0, 0))
    return np.asarray(grey, np.uint8)
