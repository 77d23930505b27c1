"""Objectives on the mean of a map: STAR, soft-argmax, and those that STAR compares itself with."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from train.codecs import gaussian
from train.losses.anisotropic import anisotropic_loss, anisotropy_of_maps
from train.losses.distances import Distance
from train.losses.divergence import jensen_shannon
from train.losses.mahalanobis import MahalanobisRestriction, mahalanobis_loss
from train.losses.soft_argmax import Reading, as_distribution, soft_argmax_loss
from train.losses.star import Restriction, star_loss
from train.maps import mean_point
from train.objectives.base import Loss, Objective
from train.objectives.heatmaps import TINY
from train.targets.drawn_cells import cell_middles, draw_cells
from train.targets.labels import Labels, Smoothing, label_distribution
from train.targets.normals import neighbours, normals

WHOLE_MAP = 10_000  # cells: a window that no map exceeds


@dataclass
class _Regression(Objective):
    """The base of objectives on the mean of a map, which is read as a whole.

    Args:
        reading: how the map becomes a distribution.
        regularisation: weight of the Jensen-Shannon divergence from a Gaussian of one cell around the label, STAR's
            distribution regularisation (DR, section 5.3); 0 for none.
    """

    window = WHOLE_MAP
    reading: Reading = "softmax"
    regularisation: float = 0.0

    def loss_for(self, labels: Labels) -> Loss:
        """See Objective."""
        of_distribution = self.regression_for(labels)
        target = gaussian.encode(labels.points_px, labels.cells, labels.stride, 1.0) if self.regularisation else None

        def loss(maps: Tensor) -> Tensor:
            distribution = as_distribution(maps, self.reading)
            error = of_distribution(distribution)
            if target is None:
                return error
            return error + self.regularisation * jensen_shannon(distribution, target)

        return loss

    @abstractmethod
    def regression_for(self, labels: Labels) -> Loss:
        """Return the loss (N, K) of distributions (N, K, H, W), without the regularisation.

        Args:
            labels: of the batch.
        """

    def logits(self, maps: Tensor) -> Tensor:
        """See Objective."""
        return maps if self.reading == "softmax" else (maps.relu() + TINY).log()


@dataclass
class Star(_Regression):
    """STAR loss (Zhou et al., CVPR 2023).

    Args:
        reading: how the map becomes a distribution.
        regularisation: weight of the distribution regularisation; 0 for none.
        kind: of distance, as in train.losses.star.
        restriction: as in train.losses.star.
        weight: of the restriction.
        smoothing: None in that paper; with one, the loss is the mean over cells drawn from it, as in Yang & Yeh's table
            of ablations.
        samples: how many cells are drawn.
    """

    kind: Distance = "smooth_l1"
    restriction: Restriction = "value"
    weight: float = 1.0
    smoothing: Smoothing | None = None
    samples: int = 10

    def regression_for(self, labels: Labels) -> Loss:
        """See _Regression."""
        points = labels.points[..., None, :]
        if self.smoothing is not None:
            drawn = draw_cells(label_distribution(labels, self.smoothing), self.samples)
            points = cell_middles(drawn, labels.cells)

        def loss(distribution: Tensor) -> Tensor:
            return star_loss(distribution[..., None, :, :], points, self.kind, self.restriction, self.weight).mean(-1)

        return loss


@dataclass
class SoftArgmax(_Regression):
    """Soft-argmax regression: Yang & Yeh's Eq. 4, and STAR's baseline (Eq. 2).

    Args:
        reading: how the map becomes a distribution.
        regularisation: weight of STAR's distribution regularisation; 0 for none.
        kind: of distance.
    """

    kind: Distance = "l2"

    def regression_for(self, labels: Labels) -> Loss:
        """See _Regression."""
        return partial(soft_argmax_loss, points=labels.points, kind=self.kind)


@dataclass
class Mahalanobis(_Regression):
    """The Mahalanobis distance by the map's own covariance, after LUVLi (Kumar et al., CVPR 2020).

    STAR compares itself with it (section 5.4).

    Args:
        reading: how the map becomes a distribution.
        regularisation: weight of STAR's distribution regularisation; 0 for none.
        restriction: as in train.losses.mahalanobis.
        weight: of the restriction.
    """

    restriction: MahalanobisRestriction = "value"
    weight: float = 1.0

    def regression_for(self, labels: Labels) -> Loss:
        """See _Regression."""
        return partial(mahalanobis_loss, points=labels.points, restriction=self.restriction, weight=self.weight)


@dataclass
class AnisotropicDirection(_Regression):
    """ADNet's anisotropic direction loss (ADL; Huang et al., ICCV 2021), which STAR's Table 6 compares itself with.

    Args:
        reading: how the map becomes a distribution.
        regularisation: weight of STAR's distribution regularisation; 0 for none.
        anisotropy: lambda, how much more an error across the landmark's curve weighs than one along it; 2 is the
            paper's constant. "maps" takes it from each map (train.losses.anisotropic.anisotropy_of_maps). ADNet's code
            does that from the last stack's attention and uses it for all stacks; here each stack has its own.
    """

    anisotropy: float | Literal["maps"] = 2.0

    def regression_for(self, labels: Labels) -> Loss:
        """See _Regression."""
        across = normals(labels.points, neighbours(labels.scheme).to(labels.points.device))

        def loss(distribution: Tensor) -> Tensor:
            found, anisotropy = mean_point(distribution), self.anisotropy
            if anisotropy == "maps":
                return anisotropic_loss(found, labels.points, across, anisotropy_of_maps(distribution, found, across))
            return anisotropic_loss(found, labels.points, across, anisotropy)

        return loss
