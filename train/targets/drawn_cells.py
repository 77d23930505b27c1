"""Cells drawn from label distributions (Yang & Yeh, ICCV 2025, Eq. 13 by Monte Carlo)."""

from __future__ import annotations

import torch
from torch import Tensor

from train.maps import full_precision


def draw_cells(distribution: Tensor, samples: int = 10, generator: torch.Generator | None = None) -> Tensor:
    """Labels drawn from distributions (..., H, W): indices (..., samples) of cells, row by row; a cell may recur."""
    flat = full_precision(distribution).flatten(-2)
    drawn = torch.multinomial(flat.reshape(-1, flat.shape[-1]), samples, replacement=True, generator=generator)
    return drawn.reshape(*flat.shape[:-1], samples)


def cell_middles(indices: Tensor, cells: int) -> Tensor:
    """The points (..., 2) in [-1, 1] of cells of a map (cells, cells), given by indices (...) as `draw_cells` does."""
    return torch.stack([indices % cells, indices // cells], -1) * (2 / (cells - 1)) - 1
