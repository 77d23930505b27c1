"""How far eyes and mouth are open, and blinks.

All are ratios of lengths in the picture, so neither size nor roll matters; a head that looks far up or down makes
them smaller, one that looks far aside makes them larger. Ask for them with face.raw: smoothing dulls a blink.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks

# A closure begins below the first share of this person's open eyes and ends above the second. Chosen on 113 s of six
# clips, where twelve closures were seen by eye: all found, and one half closed eye besides. At .65 one is missed, at
# .775 squints begin to count. benchmarks/blinks.py repeats it.
CLOSED_BELOW, OPEN_ABOVE = 0.70, 0.80
RISE_S, FALL_S = 0.3, 10.0
"""How fast the level of the open eyes follows wider and narrower ones, time constants in seconds."""

GAP_S = 0.5
"""A closure is forgotten when the face was not seen for longer."""

_NARROWEST_PX = 1e-6  # corners that are nearer to each other lie on each other


class Opening(NamedTuple):
    """ratio: height over width, 0 closed; nan where the width is 0. error: its standard error, see eye_opening."""

    ratio: float
    error: float


class Blink(NamedTuple):
    """The eyes were closed from start_s on for duration_s. A blink takes .1 to .4 s; a longer one is a closure."""

    start_s: float
    duration_s: float


def eye_opening(landmarks: Landmarks) -> tuple[Opening, Opening]:
    """The subject's right and left eye: the eye aspect ratio of Soukupova & Cech (CVWW 2016), about .3 open.

    The error follows from the points' covariances to first order, as if the points erred independently; the packaged
    model's are too wide (on 224 faces of 300W the eyes err by .056, and .24 is stated): compare, do not trust.
    The models have learned from few closed eyes: a closed one gives about .15, not 0, and how far an eye is open
    between the two is only roughly known. Raises TrackerError for schemes without six points around an eye.
    """
    right, left = (_outline(landmarks, part, 6) for part in ("right_eye", "left_eye"))
    return _opening(landmarks, right), _opening(landmarks, left)


def mouth_opening(landmarks: Landmarks) -> Opening:
    """The mean of the three gaps between the inner lips over the distance of their corners: 0 closed, 1 round.

    The error as of eye_opening. Raises TrackerError for schemes without eight points around the inner lips.
    """
    return _opening(landmarks, _outline(landmarks, "inner_lips", 8))


class Blinks:
    """Blinks of one face, from its landmarks frame by frame; one object for each face id.

    What counts as closed is a share of the person's own open eyes, a level that rises fast and falls slowly; a look
    down counts like closed eyes, and eyes closed for longer than about ten seconds count as open again. Frames may
    come at any rate; a blink that falls between two of them is not seen.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next landmarks are another person's."""
        self._open_ratio = math.nan
        self._seen_s = -math.inf
        self._closed_from_s: float | None = None

    @property
    def closed(self) -> bool:
        """Whether the eyes are closed now."""
        return self._closed_from_s is not None

    def step(self, landmarks: Landmarks, timestamp_s: float) -> Blink | None:
        """The blink that ends with these landmarks. Time that stands still or runs back is left out.

        Raises TrackerError as eye_opening does.
        """
        right, left = eye_opening(landmarks)
        ratio, passed_s = (right.ratio + left.ratio) / 2, timestamp_s - self._seen_s
        if not (passed_s > 0 and ratio >= 0):
            return None
        self._seen_s = timestamp_s
        if passed_s > GAP_S:
            self._closed_from_s = None
        self._follow(ratio, passed_s)
        if ratio < CLOSED_BELOW * self._open_ratio and self._closed_from_s is None:
            self._closed_from_s = timestamp_s
        if ratio < OPEN_ABOVE * self._open_ratio or self._closed_from_s is None:
            return None
        blink, self._closed_from_s = Blink(self._closed_from_s, timestamp_s - self._closed_from_s), None
        return blink

    def _follow(self, ratio: float, passed_s: float) -> None:
        """Move the level of the open eyes."""
        if math.isnan(self._open_ratio):
            self._open_ratio = ratio
        rate_s = RISE_S if ratio > self._open_ratio else FALL_S
        self._open_ratio += (ratio - self._open_ratio) * -math.expm1(-passed_s / rate_s)


def _outline(landmarks: Landmarks, name: str, count: int) -> tuple[int, ...]:
    """The points around an eye or the lips, in order."""
    scheme = landmarks.scheme
    found = [curve.indices for curve in scheme.curves if curve.name == name and len(curve.indices) == count]
    if not found:
        raise TrackerError(
            f"expected landmarks with {count} points around the {name}, as ibug68 has, got {scheme.name}; "
            "tracker.convert makes them of 98"
        )
    return found[0]


def _opening(landmarks: Landmarks, outline: tuple[int, ...]) -> Opening:
    """Mean of the gaps between opposite points, over the distance of the corners; the outline starts at a corner."""
    middle = len(outline) // 2
    over, under = outline[1:middle], outline[:middle:-1]
    points = landmarks.points_px
    gaps, width = points[list(over)] - points[list(under)], points[outline[middle]] - points[outline[0]]
    lengths, across = np.linalg.norm(gaps, axis=1), float(np.linalg.norm(width))
    if across < _NARROWEST_PX:
        return Opening(math.nan, math.nan)
    ratio = float(lengths.mean()) / across
    slopes = np.zeros((len(points), 2))
    slopes[list(over)] = gaps / np.maximum(lengths, 1e-12)[:, None] / (len(over) * across)
    slopes[list(under)] = -slopes[list(over)]
    slopes[outline[middle]] = -ratio * width / across**2
    slopes[outline[0]] = -slopes[outline[middle]]
    x, y = slopes.T
    variance = np.sum(np.stack([x * x, 2 * x * y, y * y], 1) * landmarks.covariances_px2)
    return Opening(ratio, float(np.sqrt(max(variance, 0.0))))
