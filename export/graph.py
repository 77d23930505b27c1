"""The whole engine as one module: uint8 crop, normalise, network, decode, points, scores, covariances."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from train.codecs.decoders import DECODERS, DecoderName
from train.task import LandmarkTask, normalise

Precision = Literal["fp32", "fp16", "int8"]


class LandmarkGraph(nn.Module):
    """Crops (N, S, S, 3) uint8 RGB to points_px (N, K, 2), scores (N, K), covariances_px2 (N, K, 3), float32.

    Only the last stack's maps are computed and decoded. precision: of the net; pixels are normalised and maps decoded
    in float32 all the same, so that coordinates never pass through half precision. int8 is float32 here: it is put
    into the file (export.quantize). decoder: of train.codecs.decoders.
    temperature: what the logits are divided by.
    """

    def __init__(
        self,
        task: LandmarkTask,
        precision: Precision = "fp32",
        decoder: DecoderName = "local_softmax",
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        net: nn.Module = copy.deepcopy(task.net.fused()) if precision == "fp16" else task.net.fused()
        self.dtype = torch.float16 if precision == "fp16" else torch.float32
        self.net = net.to(self.dtype)
        self.stride, self.objective = task.stride, task.objective
        self.decode, self.temperature = DECODERS[decoder], temperature

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.logits(crops)
        return self.decode(logits * (1 / self.temperature), self.stride, self.objective.window)

    def logits(self, crops: Tensor) -> Tensor:
        """(N, K, cells, cells) float32, before the temperature."""
        maps = self.net(normalise(crops).to(self.dtype)).float()
        return self.objective.logits(maps)
