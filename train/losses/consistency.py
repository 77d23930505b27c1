"""Consistency over views: one face, shifted, turned and scaled, should get the same points.

Siamese training after Bulat et al., "Subpixel Heatmap Regression for Facial Landmark Localization", BMVC 2021, section
3.4. There the maps of two views are warped back and merged; here the points that are decoded from them are, which is
what a tracker's user sees, and which needs no resampling. A net of stride 4 is not equivariant by itself: the same
face lies otherwise on its grid in every frame of a video, and its points tremble by that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.distances import distance
from train.maps import full_precision


def consistency_loss(points_px: Tensor, truth_px: Tensor) -> Tensor:
    """Return how far the views of a landmark lie from their mean, after mapping them back to the first view.

    Args:
        points_px: (N, V, K, 2) the answers to V views of each face.
        truth_px: (N, V, K, 2) the same labels in all of them, which give the map between the views: a similarity
            without mirroring.

    Returns:
        (N, K) the mean distance over the views, in pixels of the first one.
    """
    errors = full_precision(points_px) - truth_px
    turned = torch.view_as_complex(errors.contiguous()) / scale_and_rotation(truth_px)[..., None]
    back = torch.view_as_real(turned)  # labels map to labels, so the errors differ as the points do
    return distance(back - back.mean(1, keepdim=True), "smooth_l1").mean(1)


def scale_and_rotation(truth_px: Tensor) -> Tensor:
    """Return the complex number by which a vector of the first view is multiplied in each view.

    Args:
        truth_px: (N, V, K, 2) the same labels in V views of each face.

    Returns:
        (N, V) complex.
    """
    labels = full_precision(truth_px)
    centred = torch.view_as_complex((labels - labels.mean(-2, keepdim=True)).contiguous())
    first = centred[:, :1]
    return (first.conj() * centred).sum(-1) / first.abs().square().sum(-1)
