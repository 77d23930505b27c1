"""Distribution regularisation: a map's distance from the Gaussian it should look like (Nibali et al., DSNT, 2018)."""

from __future__ import annotations

from torch import Tensor

from train.maps import full_precision


def jensen_shannon(distribution: Tensor, target: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence in nats: 0 for equal distributions, ln 2 if they share no cell.

    Zhou et al., CVPR 2023, add it to soft-argmax regression with Gaussians of sigma 1 cell as targets (their DR).

    Args:
        distribution: (..., H, W).
        target: (..., H, W).

    Returns:
        (...), one value for each map.
    """
    distribution, target = full_precision(distribution), full_precision(target)
    middle = (distribution + target) / 2
    return (_relative_entropy(distribution, middle) + _relative_entropy(target, middle)) / 2


def _relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    tiny = 1e-24  # the logarithm's gradient would be infinite in empty cells
    return (p * ((p + tiny).log() - (q + tiny).log())).sum((-2, -1))
