"""Landmarks as Gaussians on a grid of cells, and back by a softmax over a window around the peak.

Convention: the crop has S pixels, the map S / stride cells; cell j covers the pixels j * stride .. (j + 1) * stride
- 1, so its middle is at pixel (j + 0.5) * stride - 0.5. Points are (x, y) in the crop's pixels, float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cells_from_pixels(points_px: Tensor, stride: int) -> Tensor:
    """Pixel coordinates as cell coordinates, cell middles at integers."""
    return (points_px + 0.5) / stride - 0.5


def pixels_from_cells(points_cells: Tensor, stride: int) -> Tensor:
    """Cell coordinates as pixel coordinates."""
    return (points_cells + 0.5) * stride - 0.5


def encode(points_px: Tensor, cells: int, stride: int, sigma_cells: float) -> Tensor:
    """Points (..., 2) as distributions (..., cells, cells) that sum to 1: isotropic Gaussians on the grid.

    A point outside the map puts its mass on the nearest cells.
    """
    axis = torch.arange(cells, dtype=points_px.dtype, device=points_px.device)
    offsets = axis - cells_from_pixels(points_px, stride)[..., None]  # (..., 2, cells)
    x, y = torch.softmax(-offsets.square() / (2 * sigma_cells**2), -1).unbind(-2)
    return y[..., :, None] * x[..., None, :]


def decode(logits: Tensor, stride: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of logits (N, K, H, W) as points (N, K, 2), scores (N, K), covariances (N, K, 3) xx, xy, yy.

    Of the softmax over the whole map, the window x window cells around its peak count: their mass is the score,
    their mean the point, their covariance the covariance, in pixels of the crop. The peak is that of the flat map:
    row and column maxima taken apart would mix two peaks that tie.
    """
    k, height, width = (int(side) for side in logits.shape[1:])  # constants of an exported graph
    reach = window // 2
    mass = torch.softmax(logits.float().flatten(2), -1)
    peak = mass.argmax(-1, keepdim=True).to(torch.int32)
    row, column = peak // width, peak % width
    padded = torch.nn.functional.pad(mass.view(-1, k, height, width), (reach, reach, reach, reach)).flatten(2)
    steps = torch.arange(window, device=logits.device, dtype=torch.int32)
    inside = (steps[:, None] * (width + 2 * reach) + steps).flatten()  # the window in the padded map
    near = padded.gather(2, (row * (width + 2 * reach) + column + inside).long())  # (N, K, window * window)
    scores = near.sum(-1)
    weights = near / scores[..., None]
    x = (steps - reach).float().repeat(window)
    y = (steps - reach).float().repeat_interleave(window)
    moments = weights @ torch.stack([x, y, x * x, x * y, y * y], -1)  # about the peak's cell
    mean_x, mean_y, xx, xy, yy = moments.unbind(-1)
    cells = torch.stack([column[..., 0].float() + mean_x, row[..., 0].float() + mean_y], -1)
    covariances = torch.stack([xx - mean_x**2, xy - mean_x * mean_y, yy - mean_y**2], -1)
    return pixels_from_cells(cells, stride), scores, covariances * float(stride**2)
