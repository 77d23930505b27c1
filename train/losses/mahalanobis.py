"""The Mahalanobis distance of a label from the map's mean, by the map's own covariance.

LUVLi (Kumar et al., CVPR 2020) learns landmarks by a Gaussian's log-likelihood, this distance and the logarithm of the
covariance's determinant, with a covariance that a branch of the net answers. Zhou et al., CVPR 2023 (STAR), section
5.4, put the distance alone in the place of their loss, which is what is here: the covariance is that of the map, as in
STAR's Eq. 4.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from train.losses.star import EPSILON, unbiased_covariance
from train.maps import full_precision, mean_point

MahalanobisRestriction = Literal["value", "detach", "log_determinant"]


def mahalanobis_loss(
    distribution: Tensor, points: Tensor, restriction: MahalanobisRestriction = "value", weight: float = 1.0
) -> Tensor:
    """Return e^T Sigma^-1 e with one of three terms that keep maps from spreading to lower it.

    e is the error of the map's mean; Sigma the map's unbiased covariance, with 1e-5 added to its diagonal as STAR's
    code adds it to eigenvalues.

    Args:
        distribution: (..., H, W) maps that are nowhere negative and sum to 1.
        points: (..., 2) the labels, in [-1, 1] over the map's cell middles.
        restriction: "value" adds weight times the trace of Sigma, the sum of STAR's eigenvalues ("the same setup").
            "detach" makes Sigma a constant and adds nothing. "log_determinant" adds weight times ln det Sigma, with
            which the loss is LUVLi's likelihood (up to a factor and a constant, and without its visibility).
        weight: of the term.

    Returns:
        (...), one value for each map.
    """
    distribution = full_precision(distribution)
    mean = mean_point(distribution)
    xx, xy, yy = unbiased_covariance(distribution, mean).unbind(-1)
    if restriction == "detach":
        xx, xy, yy = xx.detach(), xy.detach(), yy.detach()
    xx, yy = xx + EPSILON, yy + EPSILON
    determinant = xx * yy - xy.square()
    x, y = (points - mean).unbind(-1)
    distance = (yy * x.square() - 2 * xy * x * y + xx * y.square()) / determinant
    if restriction == "detach":
        return distance
    return distance + weight * (determinant.log() if restriction == "log_determinant" else xx + yy)
