"""Coordinate soft-classification: which decimal cell a point lies in, as classes (Lan et al., HIH, Eq. 5)."""

from __future__ import annotations

from torch import Tensor

from train.maps import full_precision


def soft_classification_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of the maps' softmax from the target's, over the number of cells (Eq. 5).

    The target's softmax is far from one class: a Gaussian of peak 1 gives its highest cell e times the probability of
    an empty one, so the best loss is reached by logits that are the heatmap itself.

    Args:
        maps: (..., D, D) decimal maps.
        target: (..., D, D) the heatmaps that they should be.

    Returns:
        (...), one value for each map.
    """
    wanted = full_precision(target).flatten(-2).log_softmax(-1)
    found = full_precision(maps).flatten(-2).log_softmax(-1)
    return (wanted.exp() * (wanted - found)).mean(-1)
