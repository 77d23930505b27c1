"""Image-aware label smoothing (Yang & Yeh, ICCV 2025, Eq. 13, A1.3): Gaussians around labels that lie along edges.

    edge maps -> refine -> covariances -> distribution -> structured_loss, in expectation, or cells drawn from it

Image-unaware smoothing is train.codecs.gaussian.encode. Convention: points are (x, y) in pixels of the crop, and maps
have cells as in train.codecs.gaussian; covariances are xx, xy, yy in cells of the map. N faces, K landmarks, E curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tracker.face.schemes import Curve
from train.codecs.gaussian import cells_from_pixels
from train.targets.branches import branch_maps

BLUR_CELLS = 9  # taps of the blur of edge maps
SHARPNESS = 5.0
SPOT_CELLS = 5  # taps of the Gaussian N around a label
EDGE_WEIGHT = 0.01  # of E' in M = 0.01 E' + N
NO_EDGE = 1e-6  # a patch that is nowhere brighter has no edge: what it holds are rounding errors of the filters


@dataclass(frozen=True)
class ImageAware:
    """How the covariance of a label follows from the edges around it: gamma * Sigma_M.

    The paper gives gamma (0.01 for WFLW and 300W, 0.001 for COFW), but neither the width of the patch nor the units, on
    which everything depends. Readings with gamma 0.01, and the standard deviations in cells of a map of 64, across and
    along one straight edge:

    a  half_width 2                          0.10, 0.10  (labels never leave their cell)
    b  half_width 32                         0.12, 0.95
    c  half_width 8, label_unit map          3.4, 5.5
    d  half_width 2, both in patch and map   1.6, 1.6    (the width of a public port, which is isotropic)

    A wide patch holds the edges of the whole face. On 300W the long axis follows the jaw at the jaw's landmarks up to
    half_width 8, and lies across it from 16 on: b is 0.9 across its axis and 1.2 along it, and not along the edge. So
    tune the widths that come out, which a training logs for its first faces, with half_width 4 to 8 and gamma:
    half_width 8 and gamma 0.2, in cells, are 0.5 and 0.8 at one straight edge. docs/methods/structured.md has the
    angles between axis and curve.

    Args:
        half_width: of the patch, which is 2 * half_width + 1 cells wide.
        gamma: the factor of Sigma_M.
        covariance_unit: the length in which Sigma_M is measured: a cell, or a patch's half_width.
        label_unit: the length in which the label's Gaussian has the covariance gamma * Sigma_M: a cell, or half the
            map, whose cells' middles then lie at -1 .. 1.
        edges: whose curves a label's patch shows. "all" is the text of A1.3, one edge map E of the whole face; where
            other curves are near, which is everywhere but at the jaw, the long axis then has little to do with the
            curve that the landmark lies on. "own" takes the landmark's own curve alone, as the distributions of Fig. 1
            and A2 look: of a curve with corners the branch from one to the next, such as a lid, and at a corner the
            branches that meet there. A landmark on no curve keeps the round N.

    Raises:
        ValueError: for a patch that does not hold the Gaussian N, or a gamma that is not positive.
    """

    half_width: int
    gamma: float = 0.01
    covariance_unit: Literal["cell", "patch"] = "cell"
    label_unit: Literal["cell", "map"] = "cell"
    edges: Literal["all", "own"] = "own"

    def __post_init__(self) -> None:
        if self.half_width < SPOT_CELLS // 2:
            raise ValueError(f"half_width must be {SPOT_CELLS // 2} cells or more, got {self.half_width}")
        if not self.gamma > 0:
            raise ValueError(f"gamma must be positive, got {self.gamma}")

    def factor(self, cells: int) -> float:
        """Return the factor of Sigma_M in cells, for a map of so many cells a side."""
        label = 1.0 if self.label_unit == "cell" else (cells - 1) / 2
        covariance = 1.0 if self.covariance_unit == "cell" else self.half_width
        return self.gamma * (label / covariance) ** 2


def gaussian_taps(taps: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return offsets and values (taps,), peak 1, of the Gaussian that torchvision takes if no sigma is given.

    Args:
        taps: how many.
        like: a tensor of the wanted type and device.
    """
    sigma = 0.3 * ((taps - 1) / 2 - 1) + 0.8
    offsets = torch.arange(taps, dtype=like.dtype, device=like.device) - (taps - 1) / 2
    return offsets, torch.exp(-offsets.square() / (2 * sigma**2))


def refine(edges: Tensor) -> Tensor:
    """Return E': the largest edge map over curves, blurred and sharpened.

    As torchvision's gaussian_blur of 9 taps (sigma 1.7, mirrored at the border) and adjust_sharpness of 5 (away from a
    3 x 3 mean, clipped to [0, 1], border cells left unchanged).

    Args:
        edges: (N, E, H, W) in [0, 1].

    Returns:
        (N, H, W).
    """
    maps = edges.amax(1, keepdim=True)
    _, weights = gaussian_taps(BLUR_CELLS, maps)
    weights = weights / weights.sum()
    maps = functional.pad(maps, [BLUR_CELLS // 2] * 4, mode="reflect")
    maps = functional.conv2d(functional.conv2d(maps, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
    mean = maps.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    smooth = maps.clone()
    smooth[..., 1:-1, 1:-1] = functional.conv2d(maps, mean[None, None])
    return (smooth + SHARPNESS * (maps - smooth)).clamp(0, 1).squeeze(1)


def covariances(
    edges: Tensor, points_px: Tensor, stride: int, smoothing: ImageAware, curves: Sequence[Curve] = ()
) -> Tensor:
    """Return the covariances of the label distributions.

    Sigma_M is the second moment of M = 0.01 E' / max E' + N over the patch around the point's cell, about that cell; N,
    of 5 taps, sigma 1.1 and peak 1, lies there too, so that without edges it is isotropic. Outside the map there are no
    edges; for a point outside, the nearest cell is taken.

    Args:
        edges: (N, E, cells, cells).
        points_px: (N, K, 2).
        stride: pixels per cell.
        smoothing: the patch, the units and whose edges count.
        curves: the E curves, needed if a landmark's own edges count.

    Returns:
        (N, K, 3) xx, xy, yy in cells.
    """
    with torch.autocast(edges.device.type, enabled=False):  # moments need their digits
        if smoothing.edges == "all":
            return _covariances(edges, points_px, stride, smoothing)
        found = _covariances(torch.zeros_like(edges[:, :1]), points_px, stride, smoothing)
        for maps, landmarks in branch_maps(edges, cells_from_pixels(points_px, stride), curves):
            found[:, landmarks] = _covariances(maps, points_px[:, landmarks], stride, smoothing)
        return found


def _covariances(edges: Tensor, points_px: Tensor, stride: int, smoothing: ImageAware) -> Tensor:
    refined, cells = refine(edges), edges.shape[-1]
    label_cells = cells_from_pixels(points_px, stride).round().clamp(0, cells - 1).to(refined.dtype)
    peak = _patch_peaks(refined, label_cells, smoothing.half_width)[..., None, None]
    weight = torch.where(peak > NO_EDGE, EDGE_WEIGHT / peak, 0)
    joint = weight * _patch_moments(refined, label_cells, smoothing.half_width) + _spot_moments(refined)
    (mass, _, xx), (_, xy, _), (yy, _, _) = (row.unbind(-1) for row in joint.unbind(-2))
    return torch.stack([xx, xy, yy], -1) / mass[..., None] * smoothing.factor(cells)


def _patch_peaks(maps: Tensor, label_cells: Tensor, half_width: int) -> Tensor:
    """(N, K) the largest value of each patch of maps (N, H, W)."""
    taps = 2 * half_width + 1
    rows = functional.max_pool2d(maps[:, None], (1, taps), 1, (0, half_width))
    peaks = functional.max_pool2d(rows, (taps, 1), 1, (half_width, 0))
    x, y = label_cells.long().unbind(-1)
    return peaks.flatten(1).gather(1, y * maps.shape[-1] + x)


def _patch_moments(maps: Tensor, label_cells: Tensor, half_width: int) -> Tensor:
    """(N, K, 3, 3) the sums of dy^i dx^j times the map over each patch, (dx, dy) counted from the label's cell."""
    axis = torch.arange(maps.shape[-1], dtype=maps.dtype, device=maps.device)
    offsets = axis - label_cells[..., None]
    powers = torch.stack([torch.ones_like(offsets), offsets, offsets.square()], -2)
    x, y = (powers * (offsets.abs() <= half_width)[..., None, :]).unbind(2)  # (N, K, 3, cells)
    return torch.einsum("nkiy,nyx,nkjx->nkij", y, maps, x)


def _spot_moments(like: Tensor) -> Tensor:
    """(3, 3) the same sums of the Gaussian N."""
    offsets, values = gaussian_taps(SPOT_CELLS, like)
    powers = torch.stack([torch.ones_like(offsets), offsets, offsets.square()])
    return torch.outer(powers @ values, powers @ values)


def distribution(points_px: Tensor, covariances: Tensor, cells: int, stride: int) -> Tensor:
    """Return G: Gaussians on the grid.

    A point outside the map puts its mass on the cells that are nearest by its covariance.

    Args:
        points_px: (..., 2).
        covariances: (..., 3) in cells.
        cells: side of the maps.
        stride: pixels per cell.

    Returns:
        (..., cells, cells), each map summing to 1.
    """
    axis = torch.arange(cells, dtype=points_px.dtype, device=points_px.device)
    offsets = axis - cells_from_pixels(points_px, stride)[..., None]  # (..., 2, cells)
    x, y = offsets[..., 0, None, :], offsets[..., 1, :, None]
    xx, xy, yy = covariances[..., None, None].unbind(-3)
    squared = (yy * x.square() - 2 * xy * x * y + xx * y.square()) / (xx * yy - xy.square())
    return torch.softmax(-squared.flatten(-2) / 2, -1).view_as(squared)


def deviations(covariances: Tensor) -> Tensor:
    """Return the standard deviations across (the smaller one) and along.

    Args:
        covariances: (..., 3); the result is in cells if they are.

    Returns:
        (..., 2).
    """
    xx, xy, yy = covariances.unbind(-1)
    mean, apart = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
    return torch.stack([mean - apart, mean + apart], -1).clamp_min(0).sqrt()
