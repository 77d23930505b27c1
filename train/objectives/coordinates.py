"""Objectives on the mean of a map: STAR and soft-argmax."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from train.codecs import gaussian
from train.losses.distances import Distance
from train.losses.divergence import jensen_shannon
from train.losses.soft_argmax import Reading, as_distribution, soft_argmax_loss
from train.losses.star import Restriction, star_loss
from train.losses.structured import cell_middles, draw_cells
from train.objectives.base import Labels, Loss, Objective, Smoothing, label_distribution
from train.objectives.heatmaps import TINY

WHOLE_MAP = 10_000  # cells: a window that no map exceeds


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
