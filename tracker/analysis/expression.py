"""How far eyes and mouth are open.

All are ratios of lengths in the picture, so neither size nor roll matters; a head that looks far up or down makes
them smaller, one that looks far aside makes them larger. Ask for them with face.raw: smoothing dulls a blink.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks

_NARROWEST_PX = 1e-6  # corners that are nearer to each other lie on each other


class Opening(NamedTuple):
    """ratio: height over width, 0 closed; nan where the width is 0. error: its standard error, see eye_opening."""

    ratio: float
    error: float


def eye_opening(landmarks: Landmarks) -> tuple[Opening, Opening]:
    """The subject's right and left eye: the eye aspect ratio of Soukupova & Cech (CVWW 2016), about 0.3 open.

    The error follows from the points' covariances to first order, as if the points erred independently; the packaged
    model's are too wide (on 224 faces of 300W the eyes err by 0.056, and 0.24 is stated): compare, do not trust.
    The models have learned from few closed eyes: a closed one gives about 0.15, not 0, and how far an eye is open
    between the two is only roughly known. Raises TrackerError for schemes without six points around an eye.
    """
    right, left = (_outline(landmarks, part, 6) for part in ("right_eye", "left_eye"))
    return _opening(landmarks, right), _opening(landmarks, left)


def mouth_opening(landmarks: Landmarks) -> Opening:
    """The mean of the three gaps between the inner lips over the distance of their corners: 0 closed, 1 round.

    The error as of eye_opening. Raises TrackerError for schemes without eight points around the inner lips.
    """
    return _opening(landmarks, _outline(landmarks, "inner_lips", 8))


def lower_lid_depth(landmarks: Landmarks) -> float:
    """How far the lower lids lie below the line through the corners of the eye: a share of the eye's width.

    The mean of both eyes, about 0.1 open; nan where a width is 0. Below is where the chin is.
    Raises TrackerError as eye_opening does.
    """
    depths = []
    for part in ("right_eye", "left_eye"):
        first, *_, last = points = landmarks.points_px[list(_outline(landmarks, part, 6))][[0, 4, 5, 3]]
        along = last - first
        across = float(np.hypot(*along))
        if across < _NARROWEST_PX:
            return math.nan
        depths.append(float(((points[1:3] - first) @ (-along[1], along[0])).mean()) / across**2)
    return sum(depths) / 2


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
