"""Siamese training of maps: the views of one face, warped back and merged, should be the face's heatmap.

Bulat et al., "Subpixel Heatmap Regression for Facial Landmark Localization", BMVC 2021, section 3.4, Eq. 6. Where
train.losses.consistency compares the points of several views, here their merged maps are compared with the label's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from train.codecs.gaussian import cells_from_pixels, pixels_from_cells
from train.losses.consistency import scale_and_rotation
from train.maps import full_precision

ROUNDING = 1e-3  # cells: what lies this little outside is on the border


class WarpedBack(NamedTuple):
    """Maps of several views on the grid of the first one.

    Attributes:
        maps: (N, V, K, H, W).
        covered: (N, V, H, W) the cells that each view shows.
    """

    maps: Tensor
    covered: Tensor


def back_to_first(maps: Tensor, truth_px: Tensor, stride: int) -> WarpedBack:
    """Resample the maps of V views of each face into the first view's grid by bilinear interpolation, in float32.

    Eq. 6 maps every view back to the picture. That grid belongs to no view, so the first view's is taken here; its own
    maps come back unchanged. A cell is covered if all four cells that it is read from are on the view's map, to a
    thousandth of a cell; elsewhere it has the value of the nearest border.

    Args:
        maps: (N, V, K, H, W), of any kind.
        truth_px: (N, V, K, 2) the same labels in pixels of each view's crop, which give the map between the views: a
            similarity without mirroring. At least two labels must lie apart.
        stride: pixels per cell.
    """
    maps = full_precision(maps)
    height, width = maps.shape[-2:]
    others, sources_px = maps[:, 1:], _sources_px(full_precision(truth_px), height, width, stride)
    sides_px = sources_px.new_tensor([width, height]) * stride
    grid = (2 * sources_px + 1) / sides_px - 1  # -1 and 1 are the crop's borders, half a cell outside the middles
    warped = functional.grid_sample(
        others.flatten(0, 1), grid.to(maps.dtype).flatten(0, 1), padding_mode="border", align_corners=False
    )
    cells = cells_from_pixels(sources_px, stride)
    shown = ((cells >= -ROUNDING) & (cells <= sides_px / stride - 1 + ROUNDING)).all(-1)
    whole = shown.new_ones(len(maps), 1, height, width)
    return WarpedBack(torch.cat([maps[:, :1], warped.reshape(others.shape)], 1), torch.cat([whole, shown], 1))


def _sources_px(labels: Tensor, height: int, width: int, stride: int) -> Tensor:
    """(N, V - 1, height, width, 2): where the middles of the first view's cells lie in the crops of the others."""
    y, x = (pixels_from_cells(torch.arange(cells).to(labels), stride) for cells in (height, width))
    middles = torch.complex(*torch.meshgrid(x, y, indexing="xy"))
    centres = torch.view_as_complex(labels.mean(-2).contiguous())[..., None, None]
    turns = scale_and_rotation(labels)[:, 1:, None, None]
    return torch.view_as_real(turns * (middles - centres[:, :1]) + centres[:, 1:])


def siamese_loss(maps: Tensor, truth_px: Tensor, target: Tensor, stride: int) -> Tensor:
    """Return the squared error of the views' merged maps, its mean over the cells that every view covers.

    Eq. 6 merges by a sum, and the paper does not say how high its target is: here it is the mean, so that the target is
    that of one view. The targets' Gaussians are equally wide in all views, but not after they are warped back: if the
    scales differ, maps that are right in every view leave a little error.

    Args:
        maps: (N, V, K, H, W), as in back_to_first.
        truth_px: (N, V, K, 2), as in back_to_first.
        target: (N, K, H, W) the first view's heatmaps.
        stride: pixels per cell.

    Returns:
        (N, K).
    """
    views = back_to_first(maps, truth_px, stride)
    covered = views.covered.all(1, keepdim=True)  # (N, 1, H, W)
    errors = (views.maps.mean(1) - full_precision(target)).square() * covered
    return errors.sum((-2, -1)) / covered.sum((-2, -1)).clamp_min(1)
