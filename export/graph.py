"""The whole engine as one module: uint8 crop, normalise, network, decode, points, scores, covariances."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from export.uncertainty import NOTHING, Spread, narrowed
from train.codecs.reading import ReadingName
from train.models.heads import Placed
from train.task import LandmarkTask, normalise

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Calibration:
    """What is fitted on validation faces (export.calibration.fit). temperature: what the logits are divided by. spread:
    what is taken off the covariances."""

    temperature: float = 1.0
    spread: Spread = NOTHING


class LandmarkGraph(nn.Module):
    """Crops (N, S, S, 3) uint8 RGB to points_px (N, K, 2), scores (N, K), covariances_px2 (N, K, 3), float32.

    Only the last stack's maps are computed and decoded. precision: of the net; pixels are normalised and maps decoded
    in float32 all the same, so that coordinates never pass through half precision. int8 is float32 here: it is put
    into the file (export.int8). decoder: None for the objective's own.
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
        return self.decode(*self.maps(crops))

    def decode(self, logits: Tensor, places: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What forward answers, from what maps answers."""
        logits = logits * (1 / self.calibration.temperature)
        points, scores, covariances = self.objective.read(logits, places, self.stride, self.decoder)
        return points, scores, narrowed(covariances, self.calibration.spread)

    def maps(self, crops: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (N, K, cells, cells) before the temperature and what the net's head answers, float32."""
        output = self.net(normalise(crops).to(self.dtype))
        if isinstance(output, Placed):
            return self.objective.logits(output.stacks[-1].float()), output.places.float()
        return self.objective.logits(output.float()), None
