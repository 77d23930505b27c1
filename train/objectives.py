"""What a net is trained towards and how its maps are then read: one objective for each system that is compared.

An objective gives every landmark's loss (N, K) for one stack's maps (N, K, H, W), and says how such maps become logits
whose softmax over a window around the peak is the point (train.codecs.gaussian.decode). So everything that is trained
is validated, exported and run by the same decoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from torch import Tensor

from train import label_smoothing
from train.codecs import gaussian
from train.label_smoothing import ImageAware
from train.losses.distances import Distance
from train.losses.divergence import jensen_shannon
from train.losses.heatmap import gaussian_map, heatmap_loss
from train.losses.soft_argmax import Reading, as_distribution, soft_argmax_loss
from train.losses.star import Restriction, star_loss
from train.losses.structured import Margin, cell_middles, draw_cells, margin_map, sampled_loss, structured_loss

WHOLE_MAP = 10_000  # cells: a window that no map exceeds
TINY = 1e-6  # keeps the logarithm of an empty cell finite

Loss = Callable[[Tensor], Tensor]
"""One stack's maps (N, K, H, W) to every landmark's loss (N, K)."""


class Labels(NamedTuple):
    """What the landmarks of a batch are learned from, for maps of cells x cells, stride pixels each.

    points_px: (N, K, 2) in pixels of the crop. edges: (N, E, cells, cells) of train.boundaries; E is 0 where nobody
    asked for them.
    """

    points_px: Tensor
    edges: Tensor
    cells: int
    stride: int

    @property
    def points(self) -> Tensor:
        """(N, K, 2) in [-1, 1] over the middles of the cells."""
        return gaussian.cells_from_pixels(self.points_px, self.stride) * (2 / (self.cells - 1)) - 1


@dataclass(frozen=True)
class Isotropic:
    """A Gaussian label of that width in cells: Yang & Yeh's image-unaware smoothing."""

    sigma_cells: float = 0.9


Smoothing = Isotropic | ImageAware


class Objective(ABC):
    """window: side in cells of the decoder's window. smoothing: the distribution of labels, None for the labels.
    likelihood: whether maps are learned as the logits of a distribution, so that a temperature can be fitted to them.
    """

    window: int
    smoothing: Smoothing | None = None
    likelihood = False

    @property
    def needs_edges(self) -> bool:
        """Whether Labels must hold edge maps."""
        return isinstance(self.smoothing, ImageAware)

    @abstractmethod
    def loss_for(self, labels: Labels) -> Loss:
        """The loss of a batch with these labels; what its stacks share is made once."""

    def logits(self, maps: Tensor) -> Tensor:
        """Maps (N, K, H, W) as logits for the decoder."""
        return maps


def label_distribution(labels: Labels, smoothing: Smoothing | None) -> Tensor:
    """G of Eq. 13 around each label: (N, K, cells, cells), summing to 1; without one, the nearest cell."""
    if not isinstance(smoothing, ImageAware):
        sigma_cells = smoothing.sigma_cells if smoothing else 1e-3
        return gaussian.encode(labels.points_px, labels.cells, labels.stride, sigma_cells)
    covariances = label_smoothing.covariances(labels.edges, labels.points_px, labels.stride, smoothing)
    return label_smoothing.distribution(labels.points_px, covariances, labels.cells, labels.stride)


def describe(smoothing: Smoothing | None, cells: int) -> str:
    """How wide labels are on a map of that many cells a side, for a log."""
    if isinstance(smoothing, ImageAware):
        across, along = label_smoothing.straight_edge_deviations(smoothing, cells)
        return f"labels spread by {across:.2f} cells across and {along:.2f} along a straight edge ({smoothing})"
    return f"labels spread by {smoothing.sigma_cells:.2f} cells" if smoothing else "labels are points"


@dataclass
class Structured(Objective):
    """Yang & Yeh, ICCV 2025, Eq. 9 to 13: the maps are logits.

    margin, epsilon: of Eq. 12 and 11; epsilon 0 is the hard maximum of Eq. 9. smoothing: the distribution of labels.
    samples: 0 for the exact expectation, else how many cells are drawn from it (the paper: 10). window: in cells.
    """

    margin: Margin = "smooth_l1"
    epsilon: float = 1.0
    smoothing: Smoothing | None = field(default_factory=Isotropic)
    samples: int = 0
    window: int = 7
    likelihood = True

    def loss_for(self, labels: Labels) -> Loss:
        distribution = label_distribution(labels, self.smoothing)
        if not self.samples:
            margin = margin_map(labels.points, labels.cells, self.margin)
            return partial(structured_loss, distribution=distribution, margin=margin, epsilon=self.epsilon)
        drawn = draw_cells(distribution, self.samples)
        margin = margin_map(cell_middles(drawn, labels.cells), labels.cells, self.margin)
        return partial(sampled_loss, drawn=drawn, margin=margin, epsilon=self.epsilon)


@dataclass
class _Regression(Objective):
    """Objectives on the mean of a map. reading: how the map becomes a distribution. The whole map is read."""

    window = WHOLE_MAP
    reading: Reading = "softmax"

    def logits(self, maps: Tensor) -> Tensor:
        return maps if self.reading == "softmax" else (maps.relu() + TINY).log()


@dataclass
class Star(_Regression):
    """Zhou et al., CVPR 2023. kind, restriction, weight: as in train.losses.star. smoothing: None in that paper; with
    one, the loss is the mean over samples cells drawn from it, as in Yang & Yeh's table of ablations."""

    kind: Distance = "smooth_l1"
    restriction: Restriction = "value"
    weight: float = 1.0
    smoothing: Smoothing | None = None
    samples: int = 10

    def loss_for(self, labels: Labels) -> Loss:
        points = labels.points[..., None, :]
        if self.smoothing is not None:
            drawn = draw_cells(label_distribution(labels, self.smoothing), self.samples)
            points = cell_middles(drawn, labels.cells)

        def loss(maps: Tensor) -> Tensor:
            distribution = as_distribution(maps, self.reading)[..., None, :, :]
            return star_loss(distribution, points, self.kind, self.restriction, self.weight).mean(-1)

        return loss


@dataclass
class SoftArgmax(_Regression):
    """Soft-argmax regression, Yang & Yeh's Eq. 4. kind: the distance. regularisation: weight of Jensen-Shannon's
    divergence from a Gaussian of one cell, as in STAR's table of baselines (DR); 0 for none."""

    kind: Distance = "l2"
    regularisation: float = 0.0

    def loss_for(self, labels: Labels) -> Loss:
        points = labels.points
        target = gaussian.encode(labels.points_px, labels.cells, labels.stride, 1.0) if self.regularisation else None

        def loss(maps: Tensor) -> Tensor:
            distribution = as_distribution(maps, self.reading)
            error = soft_argmax_loss(distribution, points, self.kind)
            if target is None:
                return error
            return error + self.regularisation * jensen_shannon(distribution, target)

        return loss


@dataclass
class HeatmapMse(Objective):
    """The squared error against a Gaussian of peak 1: Yang & Yeh's Eq. 2. window: in cells."""

    sigma_cells: float = 1.0
    window: int = 7

    def loss_for(self, labels: Labels) -> Loss:
        return partial(heatmap_loss, target=gaussian_map(labels.points, labels.cells, self.sigma_cells))

    def logits(self, maps: Tensor) -> Tensor:
        """So that the softmax gives back the map itself, over its sum."""
        return (maps.relu() + TINY).log()
