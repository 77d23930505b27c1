"""Where there is no face, no cell is likelier than another."""

from __future__ import annotations

import math

from torch import Tensor

from train.maps import full_precision


def absence_loss(logits: Tensor) -> Tensor:
    """The divergence of the softmax of maps (..., H, W) from the even distribution: one value for each map, (...).

    It is the Kullback-Leibler divergence KL(even, softmax): 0 for a flat map, and without an upper limit.
    """
    flat = full_precision(logits).flatten(-2)
    return flat.logsumexp(-1) - flat.mean(-1) - math.log(flat.shape[-1])
