"""Objectives that draw heatmaps: a squared error, against labels as each paper draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor
from torch.nn import functional

from train.codecs import hih, integer, offsets, subpixel
from train.codecs.decoders import DecoderName
from train.codecs.gaussian import find_peaks
from train.losses.classification import soft_classification_loss
from train.losses.heatmap import heatmap_loss
from train.maps import full_precision
from train.objectives.base import Loss, Objective
from train.targets.heatmaps import gaussian_map
from train.targets.labels import Labels

TINY = 1e-6  # keeps the logarithm of an empty cell finite


@dataclass
class HeatmapMse(Objective):
    """The squared error against a Gaussian of peak 1: Yang & Yeh's Eq. 2.

    Args:
        sigma_cells: width of the Gaussian in cells.
        window: side in cells of the decoder's window.
    """

    sigma_cells: float = 1.0
    window: int = 7

    @property
    def label_cells(self) -> float:
        """See Objective."""
        return self.sigma_cells

    def target(self, labels: Labels) -> Tensor:
        """Return the heatmaps (N, K, cells, cells) that are learned.

        Args:
            labels: of the batch.
        """
        return gaussian_map(labels.points, labels.cells, self.sigma_cells)

    def loss_for(self, labels: Labels) -> Loss:
        """See Objective."""
        return partial(heatmap_loss, target=self.target(labels))

    def logits(self, maps: Tensor) -> Tensor:
        """Return maps as logits, so that the softmax gives back the map itself, over its sum."""
        return (maps.relu() + TINY).log()


@dataclass
class Subpixel(HeatmapMse):
    """Heatmaps around the real coordinate, read by a softmax in 5 x 5 cells around the peak (Bulat et al., BMVC 2021).

    Their Siamese training is the term Siamese of train.terms.

    Args:
        sigma_cells: width of the Gaussian in cells.
        window: side of the local soft-argmax, 3, 5 and 7 in Table 3.
        temperature: tau of Eq. 4.
        decoder: "local_softmax" is Eq. 4; "argmax" and "quarter" read the same maps as the baseline does (Table 2, "w/o
            3.3"; Table 3, "none").

    Raises:
        ValueError: for a temperature that is not positive.
    """

    window: int = subpixel.PATCH
    temperature: float = subpixel.TEMPERATURE
    decoder: DecoderName = "local_softmax"
    even_stacks = True

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a positive number, got {self.temperature}")

    def target(self, labels: Labels) -> Tensor:
        """Return the heatmaps of Eq. 1 and 3."""
        return subpixel.encode(labels.points_px, labels.cells, labels.stride, self.sigma_cells)

    def logits(self, maps: Tensor) -> Tensor:
        """See Objective."""
        return self.temperature * maps


@dataclass
class _Integer(HeatmapMse):
    """The base of objectives whose Gaussian lies on the middle of the landmark's cell."""

    sigma_cells: float = 1.5
    even_stacks = True

    def target(self, labels: Labels) -> Tensor:
        """Return the heatmaps of train.codecs.integer."""
        return integer.encode(labels.points_px, labels.cells, labels.stride, self.sigma_cells)


@dataclass
class IntegerHeatmap(_Integer):
    """The landmark's cell alone: Newell et al., ECCV 2016, HRNet, FAN and the baseline of HIH.

    Args:
        decoder: how points are read; "argmax" is HIH's plain baseline, "quarter" its WSM.
    """

    decoder: DecoderName = "quarter"


DecimalLoss = Literal["csc", "l2"]


@dataclass
class HeatmapInHeatmap(_Integer):
    """The integer map and, from the net's head, a decimal map that divides its cell (Lan et al., HIH).

    Args:
        sigma_cells: width of the integer map's Gaussian in cells; the paper has 1.5, and 1 for 300W.
        sigma_decimals: width of the decimal map's Gaussian in decimal cells; 0 for one cell alone (the hard label of
            Table VII).
        decimal_loss: of the decimal maps, coordinate soft-classification (Eq. 5) or the mean squared error ("l2",
            Tables VI and VIII).
    """

    sigma_decimals: float = 1.0
    decimal_loss: DecimalLoss = "csc"
    decoder = "decimals"

    def head_loss_for(self, labels: Labels, maps: Tensor) -> Loss:
        """See Objective; the number of decimal cells is that of the head's maps."""
        loss_of = soft_classification_loss if self.decimal_loss == "csc" else heatmap_loss

        def loss(decimals: Tensor) -> Tensor:
            _, target = hih.encode(
                labels.points_px, labels.cells, labels.stride, self.sigma_cells, decimals.shape[-1], self.sigma_decimals
            )
            return loss_of(decimals, target)

        return loss


OffsetTarget = Literal["encoding", "prediction"]
OffsetDistance = Literal["smooth_l1", "l2"]


@dataclass
class OffsetVector(_Integer):
    """The integer map and, from the net's head, two numbers for the place in its cell: HIH's WOV.

    Subpixel's "coord-correction" (section 4.1) is the same with the distance l2.

    Args:
        target_of: what the numbers are learned from. "encoding": the label's place in its own cell, the error of
            encoding (WOV, and Subpixel's static ground truth). "prediction": where the label lies from the cell that
            the map answers, in cells, measured at every step (Subpixel's dynamic ground truth); no gradient passes
            through the answer.
        distance: of the offsets.
    """

    target_of: OffsetTarget = "encoding"
    distance: OffsetDistance = "smooth_l1"
    decoder = "vector"

    def head_loss_for(self, labels: Labels, maps: Tensor) -> Loss:
        """See Objective."""
        cell, fractions = integer.split(labels.points_px, labels.cells, labels.stride)
        if self.target_of == "prediction":
            fractions = cell + fractions - find_peaks(self.logits(maps.detach())).cell
        return partial(_offset_error, fractions=fractions, distance=self.distance)


@dataclass
class OffsetMap(_Integer):
    """The integer map and, from the net's head, one map of offsets: HIH's WOM.

    Args:
        everywhere: whether the whole map is learned, with zero in every cell without a landmark that counts, which no
            decoder reads (HIH, appendix B); else the cells of the landmarks alone, as in CornerNet (Law & Deng, ECCV
            2018).
    """

    everywhere: bool = False
    decoder = "map"

    def head_loss_for(self, labels: Labels, maps: Tensor) -> Loss:
        """See Objective; the error of the whole map counts for each landmark alike."""
        cell, fractions = integer.split(labels.points_px, labels.cells, labels.stride)
        if not self.everywhere:
            return lambda offset_map: _offset_error(offsets.read_map(offset_map, cell), fractions)
        counts = labels.inside & (labels.weights > 0)
        target = offsets.draw_map(cell, fractions, labels.cells, counts.expand(fractions.shape[:2]))

        def loss(offset_map: Tensor) -> Tensor:
            error = functional.smooth_l1_loss(full_precision(offset_map), target, reduction="none")
            return error.mean((1, 2, 3))[:, None].expand(fractions.shape[:2])

        return loss


def _offset_error(found: Tensor, fractions: Tensor, distance: OffsetDistance = "smooth_l1") -> Tensor:
    """(N, K): torch's smooth L1, as in HIH's code, or the squared error, a mean over x and y."""
    error = functional.smooth_l1_loss if distance == "smooth_l1" else functional.mse_loss
    return error(full_precision(found), fractions, reduction="none").mean(-1)
