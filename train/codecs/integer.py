"""The cell that a landmark lies in, as a heatmap: the quantised label of HRNet, FAN and HIH's integer heatmap.

What is decoded from it alone (train.codecs.decoders) is the middle of a cell whichever decoder is used: around its
middle the Gaussian is even, so nothing in it says where in the cell the point was. train.codecs.hih and
train.codecs.offsets keep that beside it.

Convention: a point's place in pixels over the stride, counted from the map's first edge, is the cell (x, y) in whole
numbers and a fraction from 0 to 1 of a cell, from that cell's left and upper edge.
"""

from __future__ import annotations

from torch import Tensor

from train.codecs.decoders import WINDOW, answer, highest
from train.codecs.gaussian import Peaks, heatmap

REACH = 3.0  # of sigma: where HIH, HRNet and FAN cut the Gaussian off


def split(points_px: Tensor, cells: int, stride: int) -> tuple[Tensor, Tensor]:
    """Return the cells that points lie in, and their fractions of these (Lan et al., HIH, Eq. 1 and 2).

    A point outside the map has the nearest cell, and a fraction below 0 or above 1.

    Args:
        points_px: (..., 2).
        cells: side of the map.
        stride: pixels per cell.

    Returns:
        Cells (..., 2) and fractions (..., 2).
    """
    places = (points_px + 0.5) / stride
    cell = places.floor().clamp(0, cells - 1)
    return cell, places - cell


def encode(points_px: Tensor, cells: int, stride: int, sigma_cells: float) -> Tensor:
    """Return points as heatmaps: a Gaussian of peak 1 on the cell's middle, cut at 3 sigma.

    HIH's Eq. 1 takes the floor of the place, Subpixel's Eq. 2 rounds a coordinate whose whole numbers are the cells'
    middles: the same cell. HIH's code rounds where it encodes no decimals, so its cells reach half a cell to either
    side of their first edge; and for sigma 1.5 it draws the first five rows and columns one cell too late.

    The cut is a square around the cell, as in the code of HIH, HRNet and FAN. Eq. 1 prints a disc around the label
    itself: single cells would differ by up to 0.06 of the peak at sigma 1.5 and 0.14 at sigma 1, and the squared
    difference is 0.07 and 0.35 % of the map's squares in the mean over labels.

    The arguments are those of train.codecs.gaussian.encode.

    Returns:
        (..., cells, cells).
    """
    cell, _ = split(points_px, cells, stride)
    return heatmap(cell, cells, sigma_cells, REACH * sigma_cells)


def join(peaks: Peaks, fractions: Tensor, stride: int, window: int = WINDOW) -> tuple[Tensor, Tensor, Tensor]:
    """Return points from peaks and the fractions of their cells.

    Args:
        peaks: of K maps of N pictures.
        fractions: (N, K, 2) of a cell, from its left and upper edge.
        stride: pixels per cell.
        window: side in cells.

    Returns:
        Points (N, K, 2) in pixels, scores (N, K) and covariances (N, K, 3), both of the map in the window around its
            peak.
    """
    return answer(peaks, highest(peaks) + fractions.float() - 0.5, stride, window)
