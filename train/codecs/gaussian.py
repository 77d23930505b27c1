"""Landmarks as Gaussians on a grid of cells, and back by a softmax over a window around the peak.

Convention: the crop has S pixels, the map S / stride cells; cell j covers the pixels j * stride .. (j + 1) * stride
- 1, so its middle is at pixel (j + 0.5) * stride - 0.5. Points are (x, y) in the crop's pixels, float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


def cells_from_pixels(points_px: Tensor, stride: int) -> Tensor:
    """Return points (..., 2) in cells, whose middles are at integers, from points in pixels.

    Args:
        points_px: (..., 2).
        stride: pixels per cell.
    """
    return (points_px + 0.5) / stride - 0.5


def pixels_from_cells(points_cells: Tensor, stride: int) -> Tensor:
    """Return points (..., 2) in pixels from points in cells.

    Args:
        points_cells: (..., 2).
        stride: pixels per cell.
    """
    return points_cells * stride + (stride - 1) / 2


def encode(points_px: Tensor, cells: int, stride: int, sigma_cells: float) -> Tensor:
    """Return points as distributions: isotropic Gaussians on the grid.

    A point outside the map puts its mass on the nearest cells.

    Args:
        points_px: (..., 2).
        cells: side of the maps.
        stride: pixels per cell.
        sigma_cells: width in cells.

    Returns:
        (..., cells, cells), each map summing to 1.
    """
    axis = torch.arange(cells, dtype=points_px.dtype, device=points_px.device)
    offsets = axis - cells_from_pixels(points_px, stride)[..., None]  # (..., 2, cells)
    x, y = torch.softmax(-offsets.square() / (2 * sigma_cells**2), -1).unbind(-2)
    return y[..., :, None] * x[..., None, :]


def heatmap(points_cells: Tensor, cells: int, sigma_cells: float, reach_cells: float = math.inf) -> Tensor:
    """Return Gaussians of peak 1 at points, which need not be at a cell's middle. Far outside, the map is empty.

    Args:
        points_cells: (..., 2) in cells.
        cells: side of the maps.
        sigma_cells: width in cells.
        reach_cells: cells further from the point, in x or in y, are zero.

    Returns:
        (..., cells, cells).
    """
    offsets = torch.arange(cells, dtype=points_cells.dtype, device=points_cells.device) - points_cells[..., None]
    values = torch.exp(-offsets.square() / (2 * sigma_cells**2)) * (offsets.abs() <= reach_cells)
    x, y = values.unbind(-2)
    return y[..., :, None] * x[..., None, :]


class Peaks(NamedTuple):
    """Maps as distributions, and where each is highest.

    Attributes:
        mass: (N, K, H * W) each map's softmax.
        maps: (N, K, H, W) the same; the exporter writes an operator for each reshape, so it is done once.
        row: (N, K) of the highest cell, int64.
        column: (N, K) of the highest cell, int64.
    """

    mass: Tensor
    maps: Tensor
    row: Tensor
    column: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the maps, which are constants of an exported graph."""
        height, width = self.maps.shape[-2:]
        return int(height), int(width)

    @property
    def cell(self) -> Tensor:
        """(N, K, 2) the highest cell as (x, y)."""
        return torch.stack([self.column, self.row], -1)


def decode(logits: Tensor, stride: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Decode logits by a softmax over a window around the peak.

    Of the softmax over the whole map, the window x window cells around its peak count: their mass is the score, their
    mean the point, their covariance the covariance. A window that would stick out is moved inside the map.

    Args:
        logits: (N, K, H, W).
        stride: pixels per cell.
        window: side in cells.

    Returns:
        Points (N, K, 2) in pixels, scores (N, K), covariances (N, K, 3) xx, xy, yy in square pixels.
    """
    return read_window(find_peaks(logits), stride, window)


def find_peaks(logits: Tensor) -> Peaks:
    """Return the softmax of each map and its highest cell; of several that tie, the first by rows.

    The row is searched first, then the column in that row: row and column maxima taken apart would mix two peaks that
    tie, and ONNX Runtime's search through the flat map takes three times as long.

    Args:
        logits: (N, K, H, W).
    """
    count, height, width = (int(side) for side in logits.shape[1:])  # constants of an exported graph
    mass = torch.softmax(logits.float().reshape(-1, count, height * width), -1)
    maps = mass.reshape(-1, count, height, width)
    row = maps.amax(-1).argmax(-1)
    lines = torch.arange(height * width, device=mass.device).reshape(height, width)
    return Peaks(mass, maps, row, mass.gather(2, lines[row]).argmax(-1))


class Window(NamedTuple):
    """The cells around the peaks.

    Attributes:
        mass: (N, K, rows * columns) of each cell.
        middle: (N, K, 2) the middle cell as (x, y), float32.
        dy: (rows * columns,) how far each cell lies below the middle one, int64.
        dx: (rows * columns,) how far to the right.
    """

    mass: Tensor
    middle: Tensor
    dy: Tensor
    dx: Tensor


def window_around(peaks: Peaks, window: int) -> Window:
    """Return the window x window cells around the peaks; a window that would stick out is moved inside the map.

    Args:
        peaks: of the maps.
        window: side in cells.
    """
    height, width = peaks.size
    rows, columns = min(window, height), min(window, width)
    dy, dx = offsets(rows, columns, peaks.mass.device)
    middle_row = torch.arange(height, device=dy.device).clamp(rows // 2, height - rows + rows // 2)
    middle_column = torch.arange(width, device=dx.device).clamp(columns // 2, width - columns + columns // 2)
    near = gather_cells(peaks.mass, peaks, middle_row[:, None] * width + (dy * width + dx), middle_column[:, None])
    middle = torch.stack([middle_column.float()[peaks.column], middle_row.float()[peaks.row]], -1)
    return Window(near, middle, dy, dx)


def gather_cells(values: Tensor, peaks: Peaks, of_row: Tensor, of_column: Tensor) -> Tensor:
    """Return C cells of each map, which depend on where its peak is. Tables take few operations in an exported graph.

    Args:
        values: (N, K, H * W) of the maps.
        peaks: of the maps.
        of_row: (H, C) int64, a part of the index for a peak in each row.
        of_column: (W, C) or (W, 1) int64, the rest of it for a peak in each column; the sum is an index in H * W.

    Returns:
        (N, K, C).
    """
    return values.gather(2, of_row[peaks.row] + of_column[peaks.column])


def read_window(peaks: Peaks, stride: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Decode as decode does, from peaks that have been found.

    It sums products instead of a matrix product, which TensorRT-RTX does not have in float32 on Turing.

    Args:
        peaks: of the maps.
        stride: pixels per cell.
        window: side in cells.
    """
    near, middle, dy, dx = window_around(peaks, window)
    places = torch.stack([dx, dy]).float() * stride  # pixels from the window's middle
    scores = near.sum(-1, keepdim=True)
    share = (near / scores)[..., None, :]
    mean = (share * places).sum(-1)
    away = places - mean[..., None]
    covariances = (share * away[..., [0, 0, 1], :] * away[..., [0, 1, 1], :]).sum(-1)
    return pixels_from_cells(middle, stride) + mean, scores[..., 0], covariances


def read_map(peaks: Peaks, stride: int) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of whole maps: points (N, K, 2) in pixels, covariances (N, K, 3).

    Sums of columns and of rows give all but xy; ONNX Runtime takes twice as long for one product by columns as for xy.
    Both are read side by side, as each operation costs an engine a microsecond.

    Args:
        peaks: of the maps.
        stride: pixels per cell.
    """
    side = max(peaks.size)
    sums = torch.stack([_padded(peaks.maps.sum(-2), side), _padded(peaks.maps.sum(-1), side)], -2)  # (N, K, 2, side)
    x, y = (torch.arange(side, device=sums.device) - cells // 2 for cells in reversed(peaks.size))
    axes = torch.stack([x, y]).float() * stride  # pixels from the map's middle
    mean = (sums * axes).sum(-1)
    variances = (sums * (axes - mean[..., None]).square()).sum(-1)
    height, width = peaks.size
    xy = (axes[1, :height, None] * axes[0, :width]).flatten()
    covariance = (peaks.mass * xy).sum(-1, keepdim=True) - mean.prod(-1, keepdim=True)
    middle = torch.tensor([float(width // 2), float(height // 2)], device=mean.device)
    return pixels_from_cells(middle, stride) + mean, torch.cat([variances[..., :1], covariance, variances[..., 1:]], -1)


def _padded(sums: Tensor, side: int) -> Tensor:
    """Return sums (N, K, cells) with zeros up to a side."""
    missing = side - int(sums.shape[-1])
    return torch.nn.functional.pad(sums, (0, missing)) if missing else sums


def offsets(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the offsets of the cells of a window from its middle, row by row.

    Args:
        rows: of the window.
        columns: of the window.
        device: of the result.

    Returns:
        dy, dx (rows * columns,), int64.
    """
    dy = (torch.arange(rows, device=device) - rows // 2).repeat_interleave(columns)
    dx = (torch.arange(columns, device=device) - columns // 2).repeat(rows)
    return dy, dx
