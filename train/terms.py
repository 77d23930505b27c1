"""The terms of the total loss. A term is an object with a name, a weight, and a call that returns a loss.

The task adds up weight * term(prediction, labels). Its own terms are those of `Weights`; others are added to a
configuration by their class_path (model.terms), without a change here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.errors import SetupError
from train.losses.absence import absence_loss
from train.losses.adaptive_wing import adaptive_wing_loss
from train.losses.consistency import consistency_loss
from train.losses.siamese import siamese_loss
from train.models.heads import WithHead
from train.models.hourglass import StackedHourglass, StackMaps
from train.objectives import HeatmapMse, Labels, Objective
from train.targets.heatmaps import gaussian_map, star_point_map

Output = list[Tensor] | list[StackMaps] | WithHead
"""The output of a net: the maps of every stack, with point and edge maps or the answer of a head if it has them."""


@dataclass(frozen=True)
class Prediction:
    """The output of the net for a batch, with the objective that reads it.

    Attributes:
        stacks: of each stack, the first one first, maps (N, K, cells, cells), or StackMaps, with point and edge maps.
        head_output: the answer of the net's head; None without a head.
        objective: reads points from the maps.
        stride: pixels of the crop per cell.
    """

    stacks: Sequence[Tensor | StackMaps]
    head_output: Tensor | None
    objective: Objective
    stride: int

    @property
    def maps(self) -> list[Tensor]:
        """Of each stack the maps (N, K, cells, cells) that landmarks are read from."""
        return [stack.fusion if isinstance(stack, StackMaps) else stack for stack in self.stacks]

    @property
    def auxiliary(self) -> list[StackMaps]:
        """The stacks with point and edge maps."""
        return [stack for stack in self.stacks if isinstance(stack, StackMaps)]

    def read(self, stack: int = -1) -> tuple[Tensor, Tensor, Tensor]:
        """Return points (N, K, 2) in pixels of the crop, scores and covariances, as train.codecs.reading.

        Args:
            stack: whose maps are read.
        """
        return self.objective.read(self.objective.logits(self.maps[stack]), self.head_output, self.stride)

    def over_stacks(self, losses: Sequence[Tensor]) -> Tensor:
        """Return the total of the losses of the stacks.

        The mean if the objective weighs stacks evenly. Else the sum with the weights 2^i / 2^(stacks - 1), as in STAR's
        and ADNet's code: 1/8, 1/4, 1/2, 1 for four stacks.

        Args:
            losses: of the stacks, the first one's first.
        """
        if self.objective.even_stacks:
            return torch.stack([*losses]).mean()
        return torch.stack([2.0 ** (i + 1 - len(losses)) * loss for i, loss in enumerate(losses)]).sum()


@dataclass
class Term(ABC):
    """A term of the total loss.

    Args:
        weight: what its loss is multiplied by. A term with the weight 0 is not computed.
    """

    weight: float = 1.0

    @property
    def name(self) -> str:
        """Its name in the log and in messages: that of its class in lower case."""
        return type(self).__name__.lower()

    @abstractmethod
    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor | None:
        """Return the loss of a batch.

        Args:
            prediction: what the net answers.
            labels: what it should answer.

        Returns:
            A scalar, without the weight; None if the net has nothing that the term compares.
        """

    def check(self, net: nn.Module, objective: Objective, views: int) -> None:
        """Check that the term can be learned; it is not called if the weight is 0.

        Args:
            net: the net.
            objective: that it is trained towards.
            views: crops of each face in a batch.

        Raises:
            SetupError: if it cannot.
        """
        return

    def needs_edges(self, net: nn.Module) -> bool:
        """Return whether the labels must hold edge maps.

        Args:
            net: that is trained.
        """
        return False


@dataclass
class Landmarks(Term):
    """The objective's loss of the landmarks, of every stack."""

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor:
        """See Term."""
        loss = prediction.objective.loss_for(labels)
        return prediction.over_stacks([labels.mean(loss(maps)) for maps in prediction.maps])


@dataclass
class Points(Term):
    """Adaptive Wing loss of the point maps, of every stack that has them.

    Args:
        sigma_cells: width of the Gaussians; None for the maps of STAR's code.
    """

    weight: float = 10.0
    sigma_cells: float | None = 1.0

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor | None:
        """See Term."""
        if not prediction.auxiliary:
            return None
        if self.sigma_cells is None:
            target = star_point_map(labels.points_px, labels.cells, labels.stride)
        else:
            target = gaussian_map(labels.points, labels.cells, self.sigma_cells)
        target = target * _maps_of(labels.present)
        return prediction.over_stacks([adaptive_wing_loss(m.points, target).mean() for m in prediction.auxiliary])


@dataclass
class Edges(Term):
    """Adaptive Wing loss of the edge maps, of every stack that has them."""

    weight: float = 10.0

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor | None:
        """See Term."""
        if not prediction.auxiliary:
            return None
        target = labels.edges * _maps_of(labels.present)
        return prediction.over_stacks([adaptive_wing_loss(m.edges, target).mean() for m in prediction.auxiliary])

    def needs_edges(self, net: nn.Module) -> bool:
        """See Term."""
        return isinstance(net, StackedHourglass)


@dataclass
class Head(Term):
    """The objective's loss of what the net's head answers."""

    weight: float = 0.1

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor | None:
        """See Term."""
        if prediction.head_output is None:
            return None
        loss = prediction.objective.head_loss_for(labels, prediction.maps[-1])
        return prediction.over_stacks([labels.mean(loss(prediction.head_output))])


@dataclass
class Consistency(Term):
    """The distance between the points of a face in its views, in cells, of every stack (train.losses.consistency)."""

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor | None:
        """See Term."""
        if labels.views < 2:
            return None
        truth_px = labels.by_face(labels.points_px)
        answers = [labels.by_face(prediction.read(i)[0]) for i in range(len(prediction.stacks))]
        losses = [consistency_loss(points_px, truth_px) / labels.stride for points_px in answers]
        return prediction.over_stacks([labels.mean_of_views(loss) for loss in losses])


@dataclass
class Siamese(Term):
    """The squared error of the views' merged maps, of every stack (train.losses.siamese)."""

    weight: float = 0.0

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor:
        """See Term."""
        assert isinstance(prediction.objective, HeatmapMse)
        truth_px, target = labels.by_face(labels.points_px), labels.by_face(prediction.objective.target(labels))[:, 0]
        merged = [siamese_loss(labels.by_face(maps), truth_px, target, labels.stride) for maps in prediction.maps]
        return prediction.over_stacks([labels.mean_of_views(loss) for loss in merged])

    def check(self, net: nn.Module, objective: Objective, views: int) -> None:
        """See Term."""
        if views < 2 or not isinstance(objective, HeatmapMse):
            raise SetupError(
                "weights.siamese needs data.views of 2 or more and an objective that draws heatmaps (HeatmapMse, "
                f"Subpixel, IntegerHeatmap ...), got {views} and {type(objective).__name__}"
            )


@dataclass
class Absence(Term):
    """How far the maps are from even ones where no upright face is, of every stack (train.losses.absence).

    Without it a net that has seen faces alone is often sure of what it finds elsewhere, such as in a face upside down.
    """

    weight: float = 0.0

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor:
        """See Term."""
        absent = ~labels.present.reshape(-1, 1)
        return prediction.over_stacks([(absence_loss(maps) * absent).mean() for maps in prediction.maps])


def _maps_of(present: Tensor) -> Tensor:
    """(N, 1, 1, 1), or one for all: 1 where a face is, 0 where the maps are to be empty."""
    return present.float().reshape(-1, 1, 1, 1)


@dataclass(frozen=True)
class Weights:
    """The weights of the terms that every training has, by their names; 0 leaves a term out.

    STAR and ADNet have landmarks 1, points 10 and edges 10. Yang & Yeh (A14) have landmarks 5000 and edges 1, and name
    no point maps. They do not publish how their losses are averaged: compare the gradient norms in the log rather than
    these numbers.

    Args:
        landmarks: of the objective's loss.
        points: of point maps, if the net has them.
        edges: of edge maps, if the net has them.
        head: of the answer of the net's head, if it has one; HIH has 0.1 for one stack and 0.05 for more.
        consistency: of the points of several views of a face, if there are several.
        siamese: of the maps of several views, warped back (Bulat et al., BMVC 2021, who set landmarks to 0).
        absence: of the maps where no upright face is, if data.augmentation.absent makes such crops.
    """

    landmarks: float = 1.0
    points: float = 10.0
    edges: float = 10.0
    head: float = 0.1
    consistency: float = 1.0
    siamese: float = 0.0
    absence: float = 0.0

    def terms(self, point_sigma_cells: float | None = 1.0) -> list[Term]:
        """Return the terms with these weights.

        Args:
            point_sigma_cells: as sigma_cells of Points.
        """
        return [
            Landmarks(self.landmarks),
            Points(self.points, point_sigma_cells),
            Edges(self.edges),
            Head(self.head),
            Consistency(self.consistency),
            Siamese(self.siamese),
            Absence(self.absence),
        ]
