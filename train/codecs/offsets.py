"""The place in the cell as numbers, beside the integer map: an offset vector for each landmark, or one offset map.

Lan et al. compare both with their decimal maps: the vector (WOV, Eq. 9; Subpixel's coord-correction) is regressed by a
fully connected layer, the map (WOM, Eq. 8; CornerNet, Law & Deng, ECCV 2018) has two channels that all landmarks share.
Both are exact, but for the map where landmarks share a cell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.codecs import integer
from train.codecs.decoders import WINDOW
from train.codecs.gaussian import find_peaks


def encode_vector(points_px: Tensor, cells: int, stride: int, sigma_cells: float = 1.5) -> tuple[Tensor, Tensor]:
    """Return points as integer maps and offset vectors.

    The arguments are those of train.codecs.gaussian.encode.

    Returns:
        (..., cells, cells), and the fractions (..., 2) of train.codecs.integer.split.
    """
    _, fraction = integer.split(points_px, cells, stride)
    return integer.encode(points_px, cells, stride, sigma_cells), fraction


def decode_vector(logits: Tensor, offsets: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
    """Decode integer maps and offset vectors (Eq. 9).

    Args:
        logits: (N, K, H, W).
        offsets: (N, K, 2) fractions of a cell.
        stride: pixels per cell.
        window: side in cells.

    Returns:
        Points, scores and covariances as train.codecs.integer.join.
    """
    return integer.join(find_peaks(logits), offsets, stride, window)


def encode_map(points_px: Tensor, cells: int, stride: int, sigma_cells: float = 1.5) -> tuple[Tensor, Tensor]:
    """Return points as integer maps and one offset map for all landmarks.

    The offset map is zero where there is no landmark. Where several share a cell it holds the last one's offset, as in
    HIH's code.

    Args:
        points_px: (..., K, 2).
        cells: side of the maps.
        stride: pixels per cell.
        sigma_cells: width in cells.

    Returns:
        (..., K, cells, cells), and (..., 2, cells, cells), x then y.
    """
    cell, fraction = integer.split(points_px, cells, stride)
    return integer.encode(points_px, cells, stride, sigma_cells), draw_map(cell, fraction, cells)


def draw_map(cell: Tensor, fraction: Tensor, cells: int, drawn: Tensor | None = None) -> Tensor:
    """Return the offset map of landmarks, zero where there is none.

    Args:
        cell: (..., K, 2) of train.codecs.integer.split.
        fraction: (..., K, 2) in it.
        cells: side of the map.
        drawn: (..., K) which landmarks the map shows; None for all.

    Returns:
        (..., 2, cells, cells), x then y.
    """
    index = (cell[..., 1] * cells + cell[..., 0]).long()  # (..., K)
    if drawn is not None:
        index = torch.where(drawn, index, cells * cells)  # one more cell, which is cut off
    shared = index[..., :, None] == index[..., None, :]
    order = torch.arange(index.shape[-1], device=index.device)
    last = (shared * order).amax(-1)
    held = fraction.gather(-2, last[..., None].expand_as(fraction)).transpose(-1, -2)
    maps = held.new_zeros(*held.shape[:-1], cells * cells + 1)
    maps.scatter_(-1, index[..., None, :].expand_as(held), held)  # equal where they meet, so in any order
    return maps[..., :-1].reshape(*held.shape[:-1], cells, cells)


def decode_map(logits: Tensor, offset_map: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
    """Decode integer maps and an offset map (Eq. 8).

    Args:
        logits: (N, K, H, W).
        offset_map: (N, 2, H, W), x then y.
        stride: pixels per cell.
        window: side in cells.

    Returns:
        Points, scores and covariances as train.codecs.integer.join.
    """
    peaks = find_peaks(logits)
    return integer.join(peaks, read_map(offset_map, peaks.cell), stride, window)


def read_map(offset_map: Tensor, cells: Tensor) -> Tensor:
    """Return the offsets that a map holds at cells.

    Args:
        offset_map: (N, 2, H, W), x then y.
        cells: (N, K, 2) (x, y).

    Returns:
        (N, K, 2).
    """
    index = (cells[..., 1] * int(offset_map.shape[-1]) + cells[..., 0]).long()
    return torch.stack([channel.gather(1, index) for channel in offset_map.flatten(2).unbind(1)], -1)
