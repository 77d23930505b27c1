"""Adaptive Wing loss for heatmaps (Wang, Bo & Li, ICCV 2019).

ADNet and STAR put it on their point and edge maps, Yang & Yeh (Eq. A14) on edge maps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from train.maps import full_precision


def adaptive_wing(
    maps: Tensor, target: Tensor, omega: float = 14.0, theta: float = 0.5, epsilon: float = 1.0, alpha: float = 2.1
) -> Tensor:
    """Return the loss of every cell.

    With d = |map - target| it is omega ln(1 + (d / epsilon)^(alpha - target)) below theta, and above that a straight
    line which continues its value and slope. The higher the target, the steeper the loss of a small d.

    Args:
        maps: (..., H, W) in 0..1.
        target: (..., H, W) in 0..1.
        omega: of the formula; the defaults of all four are the paper's.
        theta: of the formula.
        epsilon: of the formula.
        alpha: of the formula.

    Returns:
        (..., H, W).
    """
    maps, target = full_precision(maps), full_precision(target)
    power, ratio = alpha - target, theta / epsilon
    at_theta = torch.pow(ratio, power)
    slope = omega * power * torch.pow(ratio, power - 1) / (epsilon * (1 + at_theta))
    constant = theta * slope - omega * at_theta.log1p()
    error = (maps - target).abs()
    return torch.where(error < theta, omega * (error / epsilon).pow(power).log1p(), slope * error - constant)


def weight_map(target: Tensor) -> Tensor:
    """Return the weight of every cell: 11 if the target reaches 0.2 in the 3 x 3 cells around it, else 1.

    Args:
        target: (..., H, W).
    """
    highest = max_pool2d(target.reshape(-1, 1, *target.shape[-2:]), 3, stride=1, padding=1)
    return 1 + 10 * (highest >= 0.2).to(target.dtype).reshape(target.shape)


def adaptive_wing_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Return the weighted mean over the cells. The sum is not divided by the weights, as in the papers' code.

    Args:
        maps: (..., H, W) in 0..1.
        target: (..., H, W) in 0..1.

    Returns:
        (...), one value for each map.
    """
    return (weight_map(full_precision(target)) * adaptive_wing(maps, target)).mean((-2, -1))
