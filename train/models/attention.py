"""The anisotropic attention module (AAM): where a landmark may be, from a map of the point and maps of the edges.

Huang et al., ICCV 2021 (ADNet); used unchanged by Zhou et al., CVPR 2023 (STAR), whose code is followed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracker.face.schemes import Curve

Masking = Literal["multiply", "add_log", "none"]


class AnisotropicAttention(nn.Module):
    """Maps edge maps and point maps to the mask (A e + b) * p of the heatmaps.

    A is 1 if a landmark lies on a curve, b is 1 for a landmark on none: the mask is in [0, 1], or up to n for a
    landmark that n curves share. Both are fixed: buffers weight (K, E, 1, 1) and bias (K,), as in STAR's state_dict.

    Args:
        landmarks: K.
        curves: E curves of the scheme.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, landmarks: int, curves: Sequence[Curve]) -> None:
        super().__init__()
        weight = torch.zeros(landmarks, len(curves), 1, 1)
        for edge, curve in enumerate(curves):
            weight[list(curve.indices), edge] = 1.0
        self.register_buffer("weight", weight)
        self.register_buffer("bias", (weight.sum((1, 2, 3)) == 0).float())

    def forward(self, edges: Tensor, points: Tensor) -> Tensor:
        """Return the mask (N, K, H, W) of edge maps (N, E, H, W) and point maps (N, K, H, W), both in [0, 1]."""
        return functional.conv2d(edges, self.weight, self.bias) * points


def fuse(heatmaps: Tensor, mask: Tensor, masking: Masking) -> Tensor:
    """Return the map F that losses and decoders read.

    Args:
        heatmaps: (N, K, H, W) H.
        mask: (N, K, H, W).
        masking: "multiply": mask * H (ADNet, STAR), meant for H >= 0. Yang & Yeh, ICCV 2025, take raw logits for H and
            do not say whether the mask enters: "none" is F = H, where points and edges are only auxiliary maps and
            input of the next stack; "add_log" is F = H + ln(mask + 1e-6), the mask as a factor of the softmax.

    Returns:
        (N, K, H, W).
    """
    if masking == "multiply":
        return mask * heatmaps
    if masking == "add_log":
        return heatmaps + (mask + 1e-6).log()
    return heatmaps


def linear_mean(maps: Tensor) -> Tensor:
    """Return the mean places of maps: the "soft-argmax" of ADNet's and STAR's code, without a softmax.

    It is the mean of the map over its sum (at least 1e-6). An empty map gives (0, 0).

    Args:
        maps: (N, K, H, W), nowhere negative.

    Returns:
        (N, K, 2) (x, y), at least float32; -1 and 1 are the middles of the outermost cells.
    """
    exact = torch.promote_types(maps.dtype, torch.float32)
    marginals = [maps.sum(axis, dtype=exact) for axis in (2, 3)]
    total = marginals[0].sum(-1).clamp_min(1e-6)
    moments = [
        (marginal * torch.linspace(-1, 1, marginal.shape[-1], dtype=exact, device=maps.device)).sum(-1)
        for marginal in marginals
    ]
    return torch.stack(moments, -1) / total[..., None]
