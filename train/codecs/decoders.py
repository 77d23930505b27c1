"""The decoders that papers compare, each from the same logits to the same three answers.

All take logits (N, K, H, W) and return points (N, K, 2), scores (N, K) and covariances (N, K, 3) xx, xy, yy, in
pixels of the crop and float32; coordinates are those of train.codecs.gaussian. The score is always the
softmax's mass in the window x window cells around its peak, and the covariance that of the softmax in there, as
train.codecs.gaussian.decode gives them; but softmax_mean's covariance is that of the whole map, as its point is.

All read the softmax of the logits. A net that was trained to draw heatmaps gives the heatmap's logarithm as logits;
the softmax is then the heatmap itself, divided by its sum.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

from train.codecs.gaussian import (
    Peaks,
    decode,
    find_peaks,
    gather_cells,
    offsets,
    pixels_from_cells,
    read_map,
    read_window,
    window_around,
)

WINDOW = 7  # cells
SMALLEST = 1e-10  # what DARK's code takes the logarithm of where a blurred map is empty
SINGULAR = 1e-6  # the least determinant that is trusted in float32; DARK's code refuses exactly 0, in float64


class Decoder(Protocol):
    """The protocol of a decoder of maps alone."""

    def __call__(self, logits: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
        """Decode maps.

        Args:
            logits: (N, K, H, W).
            stride: pixels per cell.
            window: side in cells, for scores, and for covariances but softmax_mean's.

        Returns:
            Points (N, K, 2), scores (N, K), covariances (N, K, 3).
        """
        ...


def argmax(logits: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
    """Take the middle of the highest cell. The arguments are those of Decoder."""
    peaks = find_peaks(logits)
    return answer(peaks, highest(peaks), stride, window)


def quarter(logits: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
    """Move a quarter of a cell from the highest cell towards its higher neighbour, in x and in y.

    Newell et al., ECCV 2016, and HRNet (Sun et al., CVPR 2019). If two neighbours tie there is no shift along that
    axis. A peak on the map's border is not shifted at all, as in Newell's code; HRNet's leaves out the row and the
    column next to the first as well, which would make a mirrored map's answer another one. The arguments are those of
    Decoder.
    """
    peaks = find_peaks(logits)
    near = _patch(logits.float().flatten(2), peaks, 3)
    slope = torch.stack([near[..., 1, 2] - near[..., 1, 0], near[..., 2, 1] - near[..., 0, 1]], -1)
    shift = torch.where(_inside(peaks, 1)[..., None], slope.sign() / 4, 0.0)
    return answer(peaks, highest(peaks) + shift, stride, window)


def softmax_mean(logits: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
    """Take the mean of the softmax over the whole map (soft-argmax, Sun et al., ECCV 2018), and its covariance.

    See train.losses.soft_argmax. The arguments are those of Decoder; the window is that of the score.
    """
    peaks = find_peaks(logits)
    points, covariances = read_map(peaks, stride)
    return points, window_around(peaks, window).mass.sum(-1), covariances


def dark(logits: Tensor, stride: int, window: int = WINDOW, sigma_cells: float = 0.9) -> tuple[Tensor, Tensor, Tensor]:
    """Take the top of the parabola through the logarithm of the blurred map at its highest cell: DARK (CVPR 2020).

    Zhang et al. The softmax of the logits is blurred, zero outside the map, by a Gaussian as wide as the labels; its
    kernel ends at ceil(2.5 sigma_cells), which for 2 and 3 cells gives the 11 and 17 cells of their configurations.
    Derivatives of its logarithm are differences over two cells, and the second ones of those, as in their code. The
    blurred map is not scaled to its old maximum as there: the logarithm's derivatives do not depend on a factor.

    As in their code, peaks in the two cells next to a border and those with a singular Hessian are answered with the
    middle of the highest cell, which is found before the blur, and nothing bounds the shift of others: on a map that is
    no single peak the point may lie far from it, even outside the map.

    Args:
        logits: as in Decoder.
        stride: as in Decoder.
        window: as in Decoder.
        sigma_cells: the width of the labels.
    """
    peaks = find_peaks(logits)
    near = _patch(_blur(peaks, sigma_cells).clamp_min(SMALLEST).log(), peaks, 5)
    dx = (near[..., 2, 3] - near[..., 2, 1]) / 2
    dy = (near[..., 3, 2] - near[..., 1, 2]) / 2
    dxx = (near[..., 2, 4] - 2 * near[..., 2, 2] + near[..., 2, 0]) / 4
    dyy = (near[..., 4, 2] - 2 * near[..., 2, 2] + near[..., 0, 2]) / 4
    dxy = (near[..., 3, 3] - near[..., 1, 3] - near[..., 3, 1] + near[..., 1, 1]) / 4
    determinant = dxx * dyy - dxy * dxy
    usable = _inside(peaks, 2) & (determinant.abs() > SINGULAR)
    newton = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1)
    shift = torch.where(usable[..., None], newton / torch.where(usable, determinant, 1.0)[..., None], 0.0)
    return answer(peaks, highest(peaks) + shift, stride, window)


def local_softmax(logits: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
    """Take the mean of the softmax in the window, as train.codecs.gaussian.decode, which training validates with.

    The arguments are those of Decoder.
    """
    return decode(logits, stride, window)


DecoderName = Literal["argmax", "quarter", "softmax_mean", "dark", "local_softmax"]
DECODERS: dict[DecoderName, Decoder] = {
    "argmax": argmax,
    "quarter": quarter,
    "softmax_mean": softmax_mean,
    "dark": dark,
    "local_softmax": local_softmax,
}


def answer(peaks: Peaks, cells: Tensor, stride: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return points in pixels, with the window's scores and covariances.

    Args:
        peaks: of the maps.
        cells: (N, K, 2) points in cells.
        stride: pixels per cell.
        window: side in cells.
    """
    _, scores, covariances = read_window(peaks, stride, window)
    return pixels_from_cells(cells, stride), scores, covariances


def highest(peaks: Peaks) -> Tensor:
    """Return the highest cell as a point (N, K, 2) in cells."""
    return peaks.cell.float()


def _inside(peaks: Peaks, cells: int) -> Tensor:
    """(N, K) whether there are that many cells on every side of the highest one."""
    height, width = peaks.size
    rows = (peaks.row >= cells) & (peaks.row < height - cells)
    return rows & (peaks.column >= cells) & (peaks.column < width - cells)


def _patch(values: Tensor, peaks: Peaks, side: int) -> Tensor:
    """(N, K, side, side) what flat maps (N, K, H * W) hold around the highest cells; the border's cells repeat."""
    dy, dx = offsets(side, side, values.device)
    row, column = (torch.arange(cells, device=dy.device)[:, None] for cells in peaks.size)
    of_row, of_column = (row + dy).clamp(0, len(row) - 1) * len(column), (column + dx).clamp(0, len(column) - 1)
    near = gather_cells(values, peaks, of_row, of_column)
    return near.reshape(*near.shape[:2], side, side)


def _blur(peaks: Peaks, sigma_cells: float) -> Tensor:
    """(N, K, H * W) the distributions, zero outside the map, under a Gaussian of peak 1."""
    down, across = (_band(side, sigma_cells, peaks.mass.device) for side in peaks.size)
    return (down @ peaks.maps @ across).flatten(2)


def _band(cells: int, sigma_cells: float, device: torch.device) -> Tensor:
    """(cells, cells) what each cell gives to each other."""
    axis = torch.arange(cells, device=device)
    steps = (axis[:, None] - axis).abs()
    return torch.exp(-(steps / sigma_cells).square() / 2) * (steps <= math.ceil(2.5 * sigma_cells))
