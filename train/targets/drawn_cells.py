"""Cells drawn from label distributions (Yang & Yeh, ICCV 2025, Eq. 13 by Monte Carlo)."""

from __future__ import annotations

import torch
from torch import Tensor

from train.maps import full_precision


def draw_cells(distribution: Tensor, samples: int = 10, generator: torch.Generator | None = None) -> Tensor:
    """Draw labels from distributions. A cell may be drawn more than once.

    Args:
        distribution: (..., H, W).
        samples: how many labels of each.
        generator: of the random numbers; None for torch's own.

    Returns:
        (..., samples) indices of cells, row by row.
    """
    flat = full_precision(distribution).flatten(-2)
    drawn = torch.multinomial(flat.reshape(-1, flat.shape[-1]), samples, replacement=True, generator=generator)
    return drawn.reshape(*flat.shape[:-1], samples)


def cell_middles(indices: Tensor, cells: int) -> Tensor:
    """Return the points of cells, in [-1, 1] over the map's cell middles.

    Args:
        indices: (...) of cells, as draw_cells returns them.
        cells: side of the maps.

    Returns:
        (..., 2).
    """
    return torch.stack([indices % cells, indices // cells], -1) * (2 / (cells - 1)) - 1
