"""The labels of a batch, and the distributions around them that maps are learned from."""

# No postponed annotations: jsonargparse looks for their names in the modules of the subclasses.
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tracker.face.schemes import Scheme
from train.codecs import gaussian
from train.targets import label_smoothing
from train.targets.label_smoothing import ImageAware


class Labels(NamedTuple):
    """What the landmarks of a batch are learned from, for maps of cells x cells.

    Attributes:
        points_px: (N, K, 2) in pixels of the crop.
        edges: (N, E, cells, cells) of train.targets.boundaries; E is 0 if the data module was not asked for them.
        cells: side of the maps.
        stride: pixels per cell.
        scheme: of the K landmarks, whose curves are the E edges.
        weights: (N, K) from 0 to 1, or one for all.
        inside: (N, K) which landmarks lie in the crop, or one for all.
        views: how many neighbours of the N are the same face.
        present: (N,) which crops show an upright face, or one for all.
    """

    points_px: Tensor
    edges: Tensor
    cells: int
    stride: int
    scheme: Scheme
    weights: Tensor = torch.ones(())
    inside: Tensor = torch.ones((), dtype=torch.bool)
    views: int = 1
    present: Tensor = torch.ones((), dtype=torch.bool)

    @property
    def points(self) -> Tensor:
        """(N, K, 2) in [-1, 1] over the middles of the cells."""
        return gaussian.cells_from_pixels(self.points_px, self.stride) * (2 / (self.cells - 1)) - 1

    def mean(self, losses: Tensor) -> Tensor:
        """Return the mean over the landmarks inside the crop, then over faces.

        A landmark's weight scales its loss. The sum is not divided by the weights: a face whose labels are unsure as a
        whole counts less as a whole.

        Args:
            losses: (N, K) of the landmarks.
        """
        return _mean(losses, self.inside.expand_as(losses), self.weights)

    def by_face(self, of_views: Tensor) -> Tensor:
        """Return values of the crops (N, ...) as (faces, views, ...)."""
        return of_views.reshape(-1, self.views, *of_views.shape[1:])

    def mean_of_views(self, losses: Tensor) -> Tensor:
        """Return the mean over the landmarks that all views of a face show, then over faces.

        Args:
            losses: (faces, K).
        """
        shown = self.by_face(self.inside.expand(self.points_px.shape[:-1])).all(1)
        return _mean(losses, shown, torch.ones((), device=losses.device))


def _mean(losses: Tensor, counted: Tensor, weights: Tensor) -> Tensor:
    return ((losses * (counted * weights)).sum(-1) / counted.sum(-1).clamp_min(1)).mean()


@dataclass(frozen=True)
class Isotropic:
    """A Gaussian label: Yang & Yeh's image-unaware smoothing.

    Attributes:
        sigma_cells: its width in cells.
    """

    sigma_cells: float = 0.9


Smoothing = Isotropic | ImageAware


def label_distribution(labels: Labels, smoothing: Smoothing | None) -> Tensor:
    """Return G of Eq. 13 around each label.

    Args:
        labels: of the batch.
        smoothing: the kind of distribution; None for the nearest cell alone.

    Returns:
        (N, K, cells, cells), each map summing to 1.
    """
    if not isinstance(smoothing, ImageAware):
        sigma_cells = smoothing.sigma_cells if smoothing else 1e-3
        return gaussian.encode(labels.points_px, labels.cells, labels.stride, sigma_cells)
    return label_smoothing.distribution(labels.points_px, _covariances(labels, smoothing), labels.cells, labels.stride)


def describe(smoothing: Smoothing | None, labels: Labels) -> str:
    """Describe how wide the labels of these faces are, for a log.

    Args:
        smoothing: as in label_distribution.
        labels: of some faces.
    """
    if not isinstance(smoothing, ImageAware):
        if smoothing is None:
            return "labels: points, not smoothed"
        return f"labels: Gaussians with a standard deviation of {smoothing.sigma_cells:.2f} cells of the heatmap"
    shorter, longer = (
        label_smoothing.deviations(_covariances(labels, smoothing)).flatten(0, -2).median(0).values.tolist()
    )
    count = labels.points_px[..., 0].numel()
    return (
        f"labels: Gaussians with a standard deviation of {shorter:.2f} cells of the heatmap along their shorter axis "
        f"and {longer:.2f} along their longer one, medians of {count} landmarks ({smoothing})"
    )


def _covariances(labels: Labels, smoothing: ImageAware) -> Tensor:
    return label_smoothing.covariances(labels.edges, labels.points_px, labels.stride, smoothing, labels.scheme.curves)
