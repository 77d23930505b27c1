"""The complete model as one module: normalisation, network and decoding, from uint8 crops to landmarks."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from export.uncertainty import NOTHING, Spread, narrowed
from train.codecs.reading import ReadingName
from train.models.heads import WithHead
from train.task import LandmarkTask, normalise

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Calibration:
    """Parameters fitted on validation faces, see export.calibration.fit.

    Attributes:
        temperature: by which the logits are divided.
        spread: the correction of the covariances.
    """

    temperature: float = 1.0
    spread: Spread = NOTHING


class LandmarkGraph(nn.Module):
    """Maps crops (N, S, S, 3) uint8 RGB to points_px (N, K, 2), scores (N, K) and covariances_px2 (N, K, 3), float32.

    Only the last stack's maps are computed and decoded.

    Args:
        task: the trained model.
        precision: of the net. Pixels are always normalised and maps decoded in float32, so that coordinates are never
            in half precision. int8 is float32 here; the file is quantised later, see export.int8.
        decoder: of the maps; None for the objective's own.
        calibration: of the logits and covariances.
    """

    def __init__(
        self,
        task: LandmarkTask,
        precision: Precision = "fp32",
        decoder: ReadingName | None = None,
        calibration: Calibration = Calibration(),
    ) -> None:
        super().__init__()
        net: nn.Module = copy.deepcopy(task.net.fused()) if precision == "fp16" else task.net.fused()
        self.precision: Precision = precision
        self.dtype = torch.float16 if precision == "fp16" else torch.float32
        self.net = net.to(self.dtype)
        self.stride, self.objective = task.stride, task.objective
        self.decoder: ReadingName = decoder or task.objective.decoder
        self.calibration = calibration

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return points, scores and covariances of crops (N, S, S, 3)."""
        return self.decode(*self.maps(crops))

    def decode(self, logits: Tensor, head_output: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Decode the output of maps into points, scores and covariances."""
        logits = logits * (1 / self.calibration.temperature)
        points, scores, covariances = self.objective.read(logits, head_output, self.stride, self.decoder)
        return points, scores, narrowed(covariances, self.calibration.spread)

    def maps(self, crops: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits (N, K, cells, cells) before the temperature, and the output of the net's head, float32."""
        output = self.net(normalise(crops).to(self.dtype))
        if isinstance(output, WithHead):
            return self.objective.logits(output.stacks[-1].float()), output.head_output.float()
        return self.objective.logits(output.float()), None
