"""Adaptive Wing loss for heatmaps (Wang, Bo & Li, ICCV 2019), which ADNet, STAR and Yang & Yeh's Eq. A14 put on their
point and edge maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from train.maps import full_precision


def adaptive_wing(
    maps: Tensor, target: Tensor, omega: float = 14.0, theta: float = 0.5, epsilon: float = 1.0, alpha: float = 2.1
) -> Tensor:
    """The loss of every cell (..., H, W), for maps and target in 0 .. 1; the defaults are the paper's.

    With d = |map - target|: omega ln(1 + (d / epsilon)^(alpha - target)) below theta, a straight line above that
    continues its value and slope. The higher the target, the steeper the loss of a small d.
    """
    maps, target = full_precision(maps), full_precision(target)
    power, ratio = alpha - target, theta / epsilon
    at_theta = torch.pow(ratio, power)
    slope = omega * power * torch.pow(ratio, power - 1) / (epsilon * (1 + at_theta))
    constant = theta * slope - omega * at_theta.log1p()
    error = (maps - target).abs()
    return torch.where(error < theta, omega * (error / epsilon).pow(power).log1p(), slope * error - constant)


def weight_map(target: Tensor) -> Tensor:
    """(..., H, W) 11 where the target reaches 0.2 in the 3 x 3 cells around, else 1."""
    highest = max_pool2d(target.reshape(-1, 1, *target.shape[-2:]), 3, stride=1, padding=1)
    return 1 + 10 * (highest >= 0.2).to(target.dtype).reshape(target.shape)


def adaptive_wing_loss(maps: Tensor, target: Tensor) -> Tensor:
    """The weighted mean over the cells of maps and target (..., H, W): one value for each map, (...).

    The weights are summed but not divided by, as in the papers' code.
    """
    return (weight_map(full_precision(target)) * adaptive_wing(maps, target)).mean((-2, -1))
