"""iBUG's 68 points from the curves of a London face: the rules by which docs/labels.md names them.

The Face Research Lab London Set (DeBruine and Jones 2017, CC BY 4.0) has 189 points by hand on each face, joined to
curves, in WebMorph's template. The curves say where a lid, a brow, a lip or the outline is. Where on its curve a point
of iBUG lies is said by the rules below; a few places are those of the landmarks of ICT-FaceKit's neutral head (MIT).
"Right" is the subject's right, on the left of the picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from tracker.datasets.sample import DatasetError
from tracker.face.geometry import Array

POINTS = 189
# Points of the template, counted from 0, on the right and the left side.
_OUTLINE = (
    (109, 185, 110, 186, 111, 125, 126, 127, 128, 129),  # from the upper root of the ear along it, jaw, chin
    (112, 187, 113, 188, 114, 133, 132, 131, 130, 129),
)
_BROWS = ((71, 72, 73, 74, 75, 76), (82, 81, 80, 79, 78, 77))  # the upper edges from the tail to the inner corner
_BRIDGE = ((50, 51, 52, 53, 54), (56, 57, 58, 59, 60))  # the sides of the nose's ridge, from the eyes to the tip
_WINGS, _COLUMELLA = (64, 69), 55
_UPPER_LIDS = ((18, 19, 20, 21, 22), (27, 26, 25, 24, 23))  # from the outer corner to the inner one
_LOWER_LIDS = ((18, 28, 29, 30, 22), (27, 33, 32, 31, 23))
_OUTER_LIPS = ((87, 88, 89, 90, 91, 92, 93), (104, 105, 106, 107, 108))  # upper, lower, each from the right
_INNER_LIPS = ((87, 94, 95, 96, 97, 98, 93), (87, 99, 100, 101, 102, 103, 93))

_TIP = 0.25  # of a brow's ends: how far 17 is from the tip of the tail, and 21 from the upper corner to the lower one
# On ICT-FaceKit's head: how far 27 lies above the inner eye corners over the nose's height below them, and how far 60
# lies inside 48 over the width of the mouth.
ROOT_ABOVE_EYES = 0.11
INNER_CORNER = 0.063


def read_template(path: Path) -> Array:
    """(189, 2) the points of a .tem file, in pixels of its picture, pixel centres at integers.

    Raises DatasetError naming a file that is not there or does not hold 189 points.
    """
    try:
        lines = path.read_text(encoding="ascii").split("\n")
        points = np.array([line.split() for line in lines[1 : POINTS + 1]], np.float64)
        if int(lines[0]) != POINTS or points.shape != (POINTS, 2):
            raise ValueError
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise DatasetError(f"{path}: expected a template of {POINTS} points, a line each, after their number") from None
    return points


def ibug68(points: Array) -> Array:
    """Return iBUG's points (68, 2) from the template's (189, 2), by the rules of docs/labels.md."""
    result = np.empty((68, 2))
    right_eye, left_eye = points[_UPPER_LIDS[0][0]], points[_UPPER_LIDS[1][0]]
    across = (left_eye - right_eye) / np.linalg.norm(left_eye - right_eye)
    down = np.array([-across[1], across[0]])
    for side, sign in ((0, 1), (1, -1)):
        jaw, brow = (0, 16)[side] + sign * np.arange(9), (17, 26)[side] + sign * np.arange(5)
        result[jaw] = along(spline(points[list(_OUTLINE[side])]), np.arange(9) / 8)
        result[brow] = _brow(points[list(_BROWS[side])])
    result[27:31] = _bridge(points, down)
    wings, base = points[list(_WINGS)], points[_COLUMELLA]
    result[[31, 33, 35]] = wings[0], base, wings[1]
    result[[32, 34]] = (wings + base) / 2
    thirds = np.arange(4) / 3
    for above, below, lids in zip(_UPPER_LIDS, _LOWER_LIDS, ((36, 37, 38, 39, 41, 40), (45, 44, 43, 42, 46, 47))):
        result[list(lids[:4])] = along(spline(points[list(above)]), thirds)
        result[list(lids[4:])] = along(spline(points[list(below)]), thirds[1:3])
    result[48:55] = points[list(_OUTER_LIPS[0])]
    result[59:54:-1] = points[list(_OUTER_LIPS[1])]
    upper, lower = points[list(_INNER_LIPS[0])], points[list(_INNER_LIPS[1])]
    result[61:64], result[67:64:-1] = upper[2:5], lower[2:5]
    for corner, shares in ((60, INNER_CORNER), (64, 1 - INNER_CORNER)):
        result[corner] = (along(spline(upper), [shares]) + along(spline(lower), [shares]))[0] / 2
    return result


def _brow(edge: Array) -> Array:
    """Return points (5, 2) evenly along a brow's upper edge, a little inside of its two ends."""
    tail = (1 - _TIP) * edge[0] + _TIP * edge[1]
    front = (1 - _TIP) * edge[-2] + _TIP * edge[-1]
    return along(spline(np.vstack([tail, edge[1:-2], front])), np.arange(5) / 4)


def _bridge(points: Array, down: Array) -> Array:
    """Return points (4, 2) evenly down the middle of the nose's ridge, from its root between the eyes to its tip."""
    middle = (points[list(_BRIDGE[0])] + points[list(_BRIDGE[1])]) / 2
    corners = (points[_UPPER_LIDS[0][-1]] + points[_UPPER_LIDS[1][-1]]) / 2
    root = corners - ROOT_ABOVE_EYES * (points[_COLUMELLA] - corners)
    curve = spline(middle)
    return along(curve[int(np.abs((curve - root) @ down).argmin()) :], np.arange(4) / 3)


def spline(points: Array, samples: int = 1001) -> Array:
    """Return a smooth curve (samples, 2) through points (N, 2), a centripetal cubic spline.

    Its parameter is the root of the distances between the points, so that it does not overshoot at uneven distances.
    """
    steps = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))
    places = np.concatenate([[0], np.cumsum(steps)])
    return np.asarray(CubicSpline(places, points)(np.linspace(0, places[-1], samples)))


def along(curve: Array, shares: Array | list[float]) -> Array:
    """Return the points (len(shares), 2) at fractions 0 to 1 of the length of a finely sampled curve (N, 2)."""
    places = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    return np.column_stack([np.interp(np.asarray(shares) * places[-1], places, axis) for axis in curve.T])
