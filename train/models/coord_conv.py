"""Coordinates as further input channels of a convolution (Liu et al., NeurIPS 2018), in the order of STAR's weights."""

from __future__ import annotations

import torch
from torch import Tensor


def with_coordinates(x: Tensor, gate: Tensor | None = None) -> Tensor:
    """Append coordinates to maps as channels.

    What is added, in STAR's order: v, u, r, and with a gate v and u once more, 0 where it is closed. v runs down the
    rows and u along the columns, from -1 to 1 between the middles of the outermost cells; r is the distance from the
    map's middle over that of its corners.

    Args:
        x: (N, C, H, W); H and W are at least 2.
        gate: (N, 1, H, W) booleans, or None.

    Returns:
        (N, C + 3, H, W), or (N, C + 5, H, W) with a gate.
    """
    exact = torch.promote_types(x.dtype, torch.float32)
    height, width = (int(side) for side in x.shape[2:])  # constants of an exported graph
    v, u = torch.meshgrid(
        torch.linspace(-1, 1, height, dtype=exact, device=x.device),
        torch.linspace(-1, 1, width, dtype=exact, device=x.device),
        indexing="ij",
    )
    r = ((v * v + u * u) / 2).sqrt()
    planes = torch.stack([v, u, r]).to(x.dtype).expand(x.shape[0], -1, -1, -1)
    if gate is None:
        return torch.cat([x, planes], 1)
    return torch.cat([x, planes, planes[:, :2] * gate], 1)
