"""Fits how likely each landmark is to be visible, from its covariance, on validation faces of which parts are hidden.

A net that learned from partly hidden faces answers wider distributions where it cannot see. Logistic regression turns
the width into a probability (Platt, 1999): each landmark has an offset of its own, because the points of the jaw are
wide even where they are visible, and all share the slope.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from export.graph import LandmarkGraph
from tracker.face.visibility import Visibility, log_variance
from train.augmentation import cover_part
from train.task import Batch

RIDGE = 1e-5  # keeps the offset of a landmark that is always visible finite
COVERED = 2  # draws for each face with a part hidden, beside the face as it is


def calibrate_visibility(graph: LandmarkGraph, faces: Batch) -> Visibility:
    """Fit the visibility of a model's landmarks.

    Args:
        graph: with its covariances calibrated.
        faces: of the validation set. Each is seen once as it is, and COVERED times with a part hidden.
    """
    covariances, visible = [], []
    for place, (crop, points) in enumerate(zip(faces.crops.numpy(), faces.points_px.double().numpy())):
        rng = np.random.default_rng((place, 1))
        covered = [cover_part(crop, points, rng) for _ in range(COVERED)]
        crops = torch.from_numpy(np.stack([crop, *(image for image, _ in covered)]))
        with torch.no_grad():
            covariances.append(graph(crops)[2].double().numpy())
        none = np.zeros(crop.shape[:2], np.float32)
        visible += [sees(points, hidden) for hidden in (none, *(hidden for _, hidden in covered))]
    size = faces.crops.shape[1]
    return fit_visibility(log_variance(np.concatenate(covariances), size), np.stack(visible))


def sees(points_px: NDArray[np.float64], hidden: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which landmarks of a crop are visible: inside it, and where less than half is hidden.

    Args:
        points_px: (K, 2) in pixels of the crop.
        hidden: (S, S) how much of each pixel is hidden, 0 to 1.

    Returns:
        (K,).
    """
    size = len(hidden)
    x, y = points_px.round().astype(int).T
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    return np.asarray(inside & (hidden[y.clip(0, size - 1), x.clip(0, size - 1)] < 0.5))


def fit_visibility(log_variances: NDArray[np.float64], visible: NDArray[np.bool_]) -> Visibility:
    """Return the most likely slope and offsets, with a small ridge that draws all offsets together.

    Args:
        log_variances: (N, K) as tracker.face.visibility.log_variance gives them.
        visible: (N, K).
    """
    count = log_variances.shape[1]

    def cost(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, offsets = parameters[0], parameters[1:]
        logits = offsets - slope * log_variances
        apart = offsets - offsets.mean()
        misfit = np.logaddexp(0, np.where(visible, -logits, logits)).mean()
        error = (expit(logits) - visible) / logits.size
        gradient = np.concatenate([[-(error * log_variances).sum()], error.sum(0) + 2 * RIDGE * apart])
        return float(misfit + RIDGE * (apart**2).sum()), gradient

    start = np.concatenate([[1.0], np.full(count, float(log_variances.mean()))])
    found = minimize(cost, start, jac=True, method="L-BFGS-B").x
    slope, offsets = float(found[0]), found[1:]
    return Visibility(round(slope, 4), tuple(round(float(offset), 3) for offset in offsets))
