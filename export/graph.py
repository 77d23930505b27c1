"""The whole engine as one module: uint8 crop, normalise, network, decode, points, scores, covariances."""

from __future__ import annotations

from torch import Tensor, nn

from train.codecs import gaussian
from train.task import LandmarkTask, normalise


class LandmarkGraph(nn.Module):
    """Crops (N, S, S, 3) uint8 RGB to points_px (N, K, 2), scores (N, K), covariances_px2 (N, K, 3), float32.

    Only the last stack's maps are computed and decoded; the coordinates never pass through half precision.
    """

    def __init__(self, task: LandmarkTask) -> None:
        super().__init__()
        self.net: nn.Module = task.net.fused()
        self.stride, self.objective = task.stride, task.objective

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.objective.logits(self.net(normalise(crops)))
        return gaussian.decode(logits, self.stride, self.objective.window)
