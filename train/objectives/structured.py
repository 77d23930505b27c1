"""Structured prediction: Yang & Yeh, ICCV 2025."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from train.losses.structured import Margin, margin_map, sampled_loss, structured_loss
from train.objectives.base import Loss, Objective
from train.targets.drawn_cells import cell_middles, draw_cells
from train.targets.labels import Isotropic, Labels, Smoothing, label_distribution


@dataclass
class Structured(Objective):
    """Structured prediction (Yang & Yeh, ICCV 2025, Eq. 9 to 13): the maps are logits.

    Args:
        margin: the distance of Eq. 12.
        alpha: weight of the margin.
        epsilon: of Eq. 11; 0 is the hard maximum of Eq. 9.
        smoothing: the distribution of labels.
        samples: 0 for the exact expectation, else how many cells are drawn from it (the paper: 10).
        window: side in cells of the decoder's window.
    """

    margin: Margin = "smooth_l1"
    alpha: float = 1.0
    epsilon: float = 1.0
    smoothing: Smoothing | None = field(default_factory=Isotropic)
    samples: int = 0
    window: int = 7
    likelihood = True

    def loss_for(self, labels: Labels) -> Loss:
        """See Objective."""
        distribution = label_distribution(labels, self.smoothing)
        if not self.samples:
            margin = margin_map(labels.points, labels.cells, self.margin, self.alpha)
            return partial(structured_loss, distribution=distribution, margin=margin, epsilon=self.epsilon)
        drawn = draw_cells(distribution, self.samples)
        margin = margin_map(cell_middles(drawn, labels.cells), labels.cells, self.margin, self.alpha)
        return partial(sampled_loss, drawn=drawn, margin=margin, epsilon=self.epsilon)
