"""The error measures of the papers.

NME: the mean distance of a face's points to their labels, divided by a length of that face; FR: the share of faces
with an NME above a threshold; AUC: the area under the cumulative error distribution (CED) up to it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.face.geometry import extent
from tracker.face.schemes import Scheme

Array = NDArray[np.float64]
Normaliser = Literal["ocular", "pupil", "box", "diagonal"]


def normaliser(truth_px: ArrayLike, scheme: Scheme, by: Normaliser = "ocular") -> float:
    """Return the length in pixels by which a face's errors are divided.

    Args:
        truth_px: (K, 2) labels.
        scheme: of the labels.
        by: "ocular", between the outer eye corners; "pupil", between the pupils or the means of the eyes' points;
            "box", sqrt(width * height) of the landmarks' extent; "diagonal", the diagonal of the extent.
    """
    truth = np.asarray(truth_px, np.float64)
    if by in ("ocular", "pupil"):
        right, left = scheme.ocular if by == "ocular" else scheme.pupil
        return float(np.linalg.norm(truth[list(right)].mean(0) - truth[list(left)].mean(0)))
    _, _, width, height = extent(truth)
    return float(np.sqrt(width * height) if by == "box" else np.hypot(width, height))


def nme(points_px: ArrayLike, truth_px: ArrayLike, scheme: Scheme, by: Normaliser = "ocular") -> float:
    """Return the normalised mean error of one face, as a fraction, not percent.

    Args:
        points_px: (K, 2) landmarks.
        truth_px: (K, 2) labels, in the same pixels.
        scheme: of both.
        by: the normaliser.

    Raises:
        ValueError: if the labels' normalising length is zero.
    """
    length = normaliser(truth_px, scheme, by)
    if length == 0:
        raise ValueError(f"the labels' {by} length is zero: the error cannot be normalised")
    return float(np.linalg.norm(np.asarray(points_px) - np.asarray(truth_px), axis=-1).mean() / length)


def failure_rate(nmes: ArrayLike, threshold: float) -> float:
    """Return the share of faces with an NME above the threshold.

    Args:
        nmes: (N,) fractions; infinity or NaN for a face that was not found, which is a failure.
        threshold: a fraction, such as 0.08.
    """
    return float((~(np.asarray(nmes, np.float64) <= threshold)).mean())  # NaN counts as a failure


def ced(nmes: ArrayLike, threshold: float, step: float = 1e-4) -> tuple[Array, Array]:
    """Return the cumulative error distribution.

    The grid is a linspace that ends at the threshold itself; STAR's arange exceeds 0.05 by one step.

    Args:
        nmes: (N,) fractions.
        threshold: the upper end of the distribution.
        step: between two points of the grid.

    Returns:
        Thresholds from 0 to threshold, and the share of faces at or below each.
    """
    grid = np.linspace(0, threshold, round(threshold / step) + 1)
    return grid, np.searchsorted(np.sort(np.asarray(nmes, np.float64)), grid, side="right") / np.size(nmes)


def auc(nmes: ArrayLike, threshold: float) -> float:
    """Return the area under the CED from 0 to the threshold, divided by the threshold: 1 is perfect.

    Args:
        nmes: (N,) fractions.
        threshold: a fraction, such as 0.08.
    """
    _, share = ced(nmes, threshold)
    return float(((share[1:] + share[:-1]) / 2).mean())
