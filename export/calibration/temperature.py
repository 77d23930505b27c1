"""Temperature scaling, which makes a net's softmax as wide as its errors (Guo et al., ICML 2017, section 4.2)."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from train.codecs import gaussian

LARGEST = 10.0  # the search range is 1 / LARGEST to LARGEST


def fit_temperature(logits: Tensor, points_px: Tensor, stride: int, sigma_cells: float) -> float:
    """Return the T > 0 that minimises the mean cross-entropy of softmax(logits / T) with the labels' distributions.

    The cross-entropy is convex in 1 / T, so it has a single minimum in log T, over which it is minimised. Landmarks
    outside the crop do not count, because no map covers them. An untrained net gets the largest T.

    Args:
        logits: (N, K, cells, cells) of validation faces that the net was not trained on.
        points_px: (N, K, 2) their labels, in pixels of the crop.
        stride: pixels of a cell's side.
        sigma_cells: how wide the labels are, as in train.codecs.gaussian.encode.

    Raises:
        ValueError: if no landmark lies inside the crop.
    """
    cells = logits.shape[-1]
    inside = ((points_px >= -0.5) & (points_px <= cells * stride - 0.5)).all(-1)
    if not inside.any():
        raise ValueError("a temperature needs a landmark inside its crop, found none")
    flat = logits[inside].flatten(1).double()
    labels = gaussian.encode(points_px[inside].double(), cells, stride, sigma_cells).flatten(1)
    explained = (labels * flat).sum(1).mean()

    def cross_entropy(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        return float(torch.logsumexp(flat / temperature, 1).mean() - explained / temperature)

    bound = math.log(LARGEST)
    return math.exp(minimize_scalar(cross_entropy, bounds=(-bound, bound), method="bounded").x)
