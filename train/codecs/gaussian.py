"""Landmarks as Gaussians on a grid of cells, and back by a softmax over a window around the peak.

Convention: the crop has S pixels, the map S / stride cells; cell j covers the pixels j * stride .. (j + 1) * stride
- 1, so its middle is at pixel (j + 0.5) * stride - 0.5. Points are (x, y) in the crop's pixels, float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        mass: (N, K, height * width) each map's softmax.
        row: (N, K) of the highest cell, int32.
        column: (N, K) of the highest cell, int32.
        height: of the maps.
        width: of the maps.
    """

    mass: Tensor
    row: Tensor
    column: Tensor
    height: int
    width: int

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
    row = mass.reshape(-1, count, height, width).amax(-1).argmax(-1).int()
    line = row[..., None] * width + torch.arange(width, dtype=torch.int32, device=mass.device)
    column = mass.gather(2, line.long()).argmax(-1).int()
    return Peaks(mass, row, column, height, width)


class Window(NamedTuple):
    """The cells around the peaks.

    Attributes:
        mass: (N, K, rows * columns) of each cell.
        middle: (N, K, 2) the middle cell as (x, y), int32.
        dy: (rows * columns,) how far each cell lies below the middle one, int32.
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
    mass, height, width = peaks.mass, peaks.height, peaks.width
    rows, columns = min(window, height), min(window, width)
    first = columns // 2, rows // 2
    last = width - columns + first[0], height - rows + first[1]
    middle = clamp(peaks.cell, first, last)
    dy, dx = offsets(rows, columns, mass.device)
    cells = middle[..., 1:] * width + middle[..., :1] + (dy * width + dx)
    return Window(mass.gather(2, cells.long()), middle, dy, dx)


def read_window(peaks: Peaks, stride: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Decode as decode does, from peaks that have been found.

    It sums products instead of a matrix product, which TensorRT-RTX does not have in float32 on Turing.

    Args:
        peaks: of the maps.
        stride: pixels per cell.
        window: side in cells.
    """
    near, middle, dy, dx = window_around(peaks, window)
    x, y = dx.float() * stride, dy.float() * stride  # pixels from the window's middle
    sums = (near[..., None, :] * torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])).sum(-1)
    _, mean, squares = torch.split(sums / sums[..., :1], [1, 2, 3], -1)
    covariances = squares - mean[..., [0, 0, 1]] * mean[..., [0, 1, 1]]
    return pixels_from_cells(middle.float(), stride) + mean, sums[..., 0], covariances


def read_map(peaks: Peaks, stride: int) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of whole maps: points (N, K, 2) in pixels, covariances (N, K, 3).

    Sums of rows and of columns give all but xy; ONNX Runtime takes twice as long for one product by columns as for xy.

    Args:
        peaks: of the maps.
        stride: pixels per cell.
    """
    height, width = peaks.height, peaks.width
    maps = peaks.mass.reshape(*peaks.mass.shape[:2], height, width)
    rows, columns = offsets(height, width, maps.device)
    xy = (rows * columns).float() * stride**2  # pixels from the map's middle
    y, x = rows.float()[::width] * stride, columns.float()[:width] * stride
    of_columns, of_rows = maps.sum(-2), maps.sum(-1)
    mean_x, mean_y = (of_columns * x).sum(-1, keepdim=True), (of_rows * y).sum(-1, keepdim=True)
    xx = (of_columns * (x - mean_x).square()).sum(-1, keepdim=True)
    yy = (of_rows * (y - mean_y).square()).sum(-1, keepdim=True)
    covariances = torch.cat([xx, (peaks.mass * xy).sum(-1, keepdim=True) - mean_x * mean_y, yy], -1)
    middle = torch.tensor([float(width // 2), float(height // 2)], device=maps.device)
    return pixels_from_cells(middle, stride) + torch.cat([mean_x, mean_y], -1), covariances


def offsets(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the offsets of the cells of a window from its middle, row by row.

    Args:
        rows: of the window.
        columns: of the window.
        device: of the result.

    Returns:
        dy, dx (rows * columns,), int32.
    """
    dy = (torch.arange(rows, device=device, dtype=torch.int32) - rows // 2).repeat_interleave(columns)
    dx = (torch.arange(columns, device=device, dtype=torch.int32) - columns // 2).repeat(rows)
    return dy, dx


def clamp(x: Tensor, least: int | Sequence[int], most: int | Sequence[int]) -> Tensor:
    """Return integers moved into a range, which may differ along the last axis.

    TensorRT 10.3 has Min and Max of integers, but not Clip.

    Args:
        x: the integers.
        least: the lowest values.
        most: the highest values.
    """
    low, high = (torch.tensor(limit, dtype=x.dtype, device=x.device) for limit in (least, most))
    return torch.minimum(torch.maximum(x, low), high)
