"""The temperature that makes a net's softmax as wide as its errors: Guo et al., ICML 2017, section 4.2."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from train.codecs import gaussian

LARGEST = 10.0  # temperatures are looked for from 1 / LARGEST to LARGEST


def fit_temperature(logits: Tensor, points_px: Tensor, stride: int, sigma_cells: float) -> float:
    """The T > 0 that minimises the mean cross-entropy of softmax(logits / T) against the labels' distributions.

    The cross-entropy is convex in 1 / T, so in log T, over which it is minimised, it has one valley. Landmarks outside
    the crop do not count: no map can point there. A net without any skill answers with the largest T that is allowed.

    Args:
        logits: (N, K, cells, cells) of validation faces that the net was not trained on.
        points_px: (N, K, 2) their labels, in pixels of the crop.
        stride: pixels of a cell's side.
        sigma_cells: how wide the labels are, as in train.codecs.gaussian.encode.

    Raises:
        ValueError: when no landmark lies inside the crop.
    """
    cells = logits.shape[-1]
    inside = ((points_px >= -0.5) & (points_px <= cells * stride - 0.5)).all(-1)
    if not inside.any():
        raise ValueError("a temperature needs a landmark inside its crop, there is none")
    flat = logits[inside].flatten(1).double()
    labels = gaussian.encode(points_px[inside].double(), cells, stride, sigma_cells).flatten(1)
    explained = (labels * flat).sum(1).mean()

    def cross_entropy(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        return float(torch.logsumexp(flat / temperature, 1).mean() - explained / temperature)

    bound = math.log(LARGEST)
    return math.exp(minimize_scalar(cross_entropy, bounds=(-bound, bound), method="bounded").x)
