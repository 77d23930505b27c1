"""One landmark scheme from another: 98 points of WFLW to 68 of iBUG, and these to the inner 51 and 49.

Leaving points out costs nothing. From 98 to 68 the eyelids' points are put between labelled ones. Nothing is fitted. As
measured on 1,896 faces of 300W, whose lids were drawn as splines and read at WFLW's places, this costs 0.14 % of the
outer eye distance over all 68 points (1.15 % on the eight of the lids), without it 0.29 % (2.46 %). Beyond that the two
sets' annotators disagree, mostly about the jaw: a model made from 300W is 4.6 % from the converted labels of the four
faces of WFLW at hand (jaw 8.2, eyes 2.7, the rest 3.6 %), its own error included, which is 3.2 % on 300W.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG49, IBUG51, IBUG68, WFLW98, Scheme

_IBUG68_FROM_WFLW98 = (
    *range(0, 33, 2),  # every second point of the jaw
    *range(33, 38),  # the brows' upper edges
    *range(42, 47),
    *range(51, 60),
    *(60, 61, 63, 64, 65, 67),
    *(68, 69, 71, 72, 73, 75),
    *range(76, 96),
)
"""The point of WFLW that is taken for each of iBUG, the correspondence that the field uses."""

# WFLW has three points on a lid, which divide it into quarters, iBUG two, which divide it into thirds. So each of
# iBUG's lies a third of the way from the quarter near the corner to the middle: 1/4 + 1/3 * (1/2 - 1/4) = 1/3.
_LID_MIDDLES = {37: 62, 38: 62, 40: 66, 41: 66, 43: 70, 44: 70, 46: 74, 47: 74}
_TO_MIDDLE = 1 / 3


def convert(landmarks: Landmarks, scheme: Scheme) -> Landmarks:
    """The same face in another scheme: WFLW98 to IBUG68 to IBUG51 to IBUG49, steps left out or not.

    A new point is an old one or a weighted mean of two, and so is its score; its covariance is that of the mean
    if the two err independently. Pixels stay those of the same picture.
    Raises ValueError for a scheme that cannot be reached.
    """
    weights = _weights(landmarks.scheme, scheme)
    covariances_px2 = np.square(weights) @ landmarks.covariances_px2
    return Landmarks(weights @ landmarks.points_px, weights @ landmarks.scores, covariances_px2, scheme)


@cache
def _weights(source: Scheme, target: Scheme) -> Array:
    """(K of the target, K of the source); every row adds up to 1."""
    known = list(_STEPS)
    if source not in known or target not in known[known.index(source) :]:
        names = ", ".join(scheme.name for scheme in known)
        raise ValueError(
            f"convert: expected a step down {names}, got {source.name} to {target.name}; choose a scheme further down"
        )
    weights = np.eye(source.count)
    for step in known[known.index(source) + 1 : known.index(target) + 1]:
        weights = _STEPS[step] @ weights
    return weights


def _ibug68_from_wflw98() -> Array:
    weights = np.eye(WFLW98.count)[list(_IBUG68_FROM_WFLW98)]
    for lid, middle in _LID_MIDDLES.items():
        weights[lid] *= 1 - _TO_MIDDLE
        weights[lid, middle] = _TO_MIDDLE
    return weights


_STEPS = {
    WFLW98: np.eye(WFLW98.count),
    IBUG68: _ibug68_from_wflw98(),
    IBUG51: np.eye(IBUG68.count)[17:],
    IBUG49: np.delete(np.eye(IBUG51.count), (60 - 17, 64 - 17), 0),
}
"""What leads to a scheme from the one before it."""
