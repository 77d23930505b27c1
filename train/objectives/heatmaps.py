"""Objectives that draw heatmaps: a squared error, against labels as each paper draws them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor
from torch.nn import functional

from train.codecs import hih, integer, offsets, subpixel
from train.codecs.decoders import DecoderName
from train.losses.classification import soft_classification_loss
from train.losses.heatmap import gaussian_map, heatmap_loss
from train.losses.maps import full_precision
from train.objectives.base import Labels, Loss, Objective

TINY = 1e-6  # keeps the logarithm of an empty cell finite


@dataclass
class HeatmapMse(Objective):
    """The squared error against a Gaussian of peak 1: Yang & Yeh's Eq. 2. window: in cells."""

    sigma_cells: float = 1.0
    window: int = 7

    def target(self, labels: Labels) -> Tensor:
        """(N, K, cells, cells): the heatmaps that are learned."""
        return gaussian_map(labels.points, labels.cells, self.sigma_cells)

    def loss_for(self, labels: Labels) -> Loss:
        return partial(heatmap_loss, target=self.target(labels))

    def logits(self, maps: Tensor) -> Tensor:
        """So that the softmax gives back the map itself, over its sum."""
        return (maps.relu() + TINY).log()


@dataclass
class Subpixel(HeatmapMse):
    """Bulat et al., BMVC 2021: heatmaps around the real coordinate, read by a softmax in 5 x 5 cells around the peak.

    Their Siamese training is the task's weight of that name.
    """

    window: int = subpixel.PATCH
    even_stacks = True

    def target(self, labels: Labels) -> Tensor:
        """Eq. 1 and 3."""
        return subpixel.encode(labels.points_px, labels.cells, labels.stride, self.sigma_cells)

    def logits(self, maps: Tensor) -> Tensor:
        return subpixel.TEMPERATURE * maps


@dataclass
class _Integer(HeatmapMse):
    """The Gaussian lies on the middle of the landmark's cell."""

    sigma_cells: float = 1.5
    even_stacks = True

    def target(self, labels: Labels) -> Tensor:
        return integer.encode(labels.points_px, labels.cells, labels.stride, self.sigma_cells)


@dataclass
class IntegerHeatmap(_Integer):
    """Newell et al., ECCV 2016, HRNet, FAN and the baseline of HIH: the landmark's cell alone.

    decoder: what is made of it; "argmax" is HIH's plain baseline, "quarter" its WSM.
    """

    decoder: DecoderName = "quarter"


@dataclass
class HeatmapInHeatmap(_Integer):
    """Lan et al., HIH: the integer map and, from the net's head, a decimal map that divides its cell.

    sigma_cells: the paper has 1.5, and 1 for 300W. sigma_decimals: in decimal cells.
    """

    sigma_decimals: float = 1.0
    decoder = "decimals"

    def places_loss_for(self, labels: Labels) -> Loss:
        """Eq. 5. The number of decimal cells is that of the maps."""

        def loss(maps: Tensor) -> Tensor:
            _, target = hih.encode(
                labels.points_px, labels.cells, labels.stride, self.sigma_cells, maps.shape[-1], self.sigma_decimals
            )
            return soft_classification_loss(maps, target)

        return loss


@dataclass
class OffsetVector(_Integer):
    """HIH's WOV: the integer map and, from the net's head, two numbers for the place in its cell."""

    decoder = "vector"

    def places_loss_for(self, labels: Labels) -> Loss:
        _, fractions = integer.split(labels.points_px, labels.cells, labels.stride)
        return partial(_offset_error, fractions=fractions)


@dataclass
class OffsetMap(_Integer):
    """HIH's WOM: the integer map and, from the net's head, one map of offsets, learned where landmarks are.

    As in CornerNet (Law & Deng, ECCV 2018). HIH's code asks for zero in every other cell too, which no decoder reads.
    """

    decoder = "map"

    def places_loss_for(self, labels: Labels) -> Loss:
        cell, fractions = integer.split(labels.points_px, labels.cells, labels.stride)

        def loss(offset_map: Tensor) -> Tensor:
            return _offset_error(offsets.read_map(offset_map, cell), fractions)

        return loss


def _offset_error(found: Tensor, fractions: Tensor) -> Tensor:
    """(N, K): torch's smooth L1, as in HIH's code, over x and y."""
    return functional.smooth_l1_loss(full_precision(found), fractions, reduction="none").mean(-1)
