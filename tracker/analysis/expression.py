"""Measures how far eyes and mouth are open.

All values are ratios of lengths in the picture, so they do not depend on size and roll. If the head looks far up or
down they get smaller, if it is turned far to the side they get larger. Use them with face.raw, because smoothing
weakens blinks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks

_NARROWEST_PX = 1e-6  # corners that are nearer to each other count as one point


class Opening(NamedTuple):
    """The opening of an eye or the mouth.

    Attributes:
        ratio: height over width, 0 closed; nan if the width is 0.
        error: standard error of the ratio, see eye_opening.
    """

    ratio: float
    error: float


def eye_opening(landmarks: Landmarks) -> tuple[Opening, Opening]:
    """Measure the eye aspect ratio of both eyes: about 0.3 for an open eye.

    The models were trained on few closed eyes: a closed eye gives about 0.15, not 0, and values between open and
    closed are only approximate.

    The standard error is computed from the covariances of the points, to first order and as if their errors were
    independent. It is too large with the packaged models (0.24, where the error on 224 faces of 300W is 0.056): use it
    to compare faces, not as an absolute value.

    Source: Soukupova & Cech, CVWW 2016.

    Args:
        landmarks: of a scheme with six points around each eye, such as ibug68.

    Returns:
        The subject's right eye and left eye.

    Raises:
        TrackerError: the scheme has no six points around each eye.
    """
    right, left = (_outline(landmarks, part, 6) for part in ("right_eye", "left_eye"))
    return _opening(landmarks, right), _opening(landmarks, left)


def mouth_opening(landmarks: Landmarks) -> Opening:
    """Measure how far the mouth is open, between the inner lips.

    Args:
        landmarks: of a scheme with eight points around the inner lips, such as ibug68.

    Returns:
        The mean of the three gaps between the lips over the distance of the inner corners: 0 closed, 1 round. The
        standard error is as in eye_opening.

    Raises:
        TrackerError: the scheme has no eight points around the inner lips.
    """
    return _opening(landmarks, _outline(landmarks, "inner_lips", 8))


def lower_lid_depth(landmarks: Landmarks) -> float:
    """Measure how far the lower lids lie below the line through the corners of the eye, towards the chin.

    Args:
        landmarks: of a scheme with six points around each eye, such as ibug68.

    Returns:
        The depth over the width of the eye, mean of both eyes: about 0.1 for open eyes; nan if a width is 0.

    Raises:
        TrackerError: the scheme has no six points around each eye.
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
    """Return the indices of the points around an eye or the lips, in order."""
    scheme = landmarks.scheme
    found = [curve.indices for curve in scheme.curves if curve.name == name and len(curve.indices) == count]
    if not found:
        raise TrackerError(
            f"expected landmarks with {count} points around the {name}, as ibug68 has, got {scheme.name}; "
            "tracker.convert makes them of 98"
        )
    return found[0]


def _opening(landmarks: Landmarks, outline: tuple[int, ...]) -> Opening:
    """Divide the mean gap between opposite points by the distance of the corners; the outline starts at a corner."""
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
