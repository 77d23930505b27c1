"""Errors as the papers report them.

NME: the mean distance of a face's points to their labels over one length of that face; FR: the share of faces
whose NME is above a threshold; AUC: the area under the cumulative error distribution (CED) up to it.
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
    """The length in pixels that a face's errors are divided by.

    ocular: between the outer eye corners; pupil: between the pupils or the eyes' means; box: sqrt(width *
    height) of the landmarks' extent; diagonal: its diagonal.
    """
    truth = np.asarray(truth_px, np.float64)
    if by in ("ocular", "pupil"):
        right, left = scheme.ocular if by == "ocular" else scheme.pupil
        return float(np.linalg.norm(truth[list(right)].mean(0) - truth[list(left)].mean(0)))
    _, _, width, height = extent(truth)
    return float(np.sqrt(width * height) if by == "box" else np.hypot(width, height))


def nme(points_px: ArrayLike, truth_px: ArrayLike, scheme: Scheme, by: Normaliser = "ocular") -> float:
    """Normalised mean error of one face, points and truth (K, 2); a fraction, not percent.

    Raises ValueError when the labels' normalising length is zero.
    """
    length = normaliser(truth_px, scheme, by)
    if length == 0:
        raise ValueError(f"the labels' {by} length is zero: the error cannot be normalised")
    return float(np.linalg.norm(np.asarray(points_px) - np.asarray(truth_px), axis=-1).mean() / length)


def failure_rate(nmes: ArrayLike, threshold: float) -> float:
    """The share of faces with an NME above the threshold. A face that was not found counts as infinite."""
    return float((~(np.asarray(nmes, np.float64) <= threshold)).mean())  # so that NaN fails


def ced(nmes: ArrayLike, threshold: float, step: float = 1e-4) -> tuple[Array, Array]:
    """Cumulative error distribution: thresholds 0 .. threshold, and the share of faces at or below each.

    On a linspace that ends at the threshold itself; STAR's arange overshoots it by one step at 0.05.
    """
    grid = np.linspace(0, threshold, round(threshold / step) + 1)
    return grid, np.searchsorted(np.sort(np.asarray(nmes, np.float64)), grid, side="right") / np.size(nmes)


def auc(nmes: ArrayLike, threshold: float) -> float:
    """Area under the CED from 0 to the threshold, over the threshold: 1 is a perfect detector."""
    _, share = ced(nmes, threshold)
    return float(((share[1:] + share[:-1]) / 2).mean())
