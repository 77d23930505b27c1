"""An exponential moving average of the weights that is useful from the first step on."""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class WeightAverage(WeightAveraging):
    """Validates, saves and exports the exponential moving average (EMA) of the weights.

    The first step's weights are taken as they are; the decay then warms up as (1 + n) / (10 + n) over n steps until it
    reaches its final value. So the average of a short training follows its weights, and the random initial weights are
    forgotten at any length. BatchNorm's statistics are averaged with the weights; its counters are copied.

    Args:
        decay: Share of the average that each step keeps, once warm. 0 turns averaging off.

    Raises:
        ValueError: `decay` is not in [0, 1).
    """

    def __init__(self, decay: float = 0.998) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"average.decay: expected a number from 0 up to, not including, 1, got {decay}")
        super().__init__(multi_avg_fn=self._update)
        self.decay = decay

    def decay_at(self, steps: int) -> float:
        """Return the decay of an update.

        Args:
            steps: how many updates there were before.
        """
        return min(self.decay, (1 + steps) / (10 + steps))

    @torch.no_grad()
    def _update(self, average: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        """Move tensors of one device and dtype towards the current ones, in place."""
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, 1 - self.decay_at(int(steps)))
        else:
            torch._foreach_copy_(average, current)
