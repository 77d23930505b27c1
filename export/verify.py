"""How far an engine's landmarks are from torch's, and how far they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from export.graph import LandmarkGraph, Precision
from tracker.engines.onnx import OnnxEngine
from tracker.face.geometry import Array
from tracker.face.metrics import nme
from tracker.face.schemes import Scheme

NAMED = 3  # landmarks that a refusal names


@dataclass(frozen=True)
class Budget:
    """The most that an engine may differ from torch in float32.

    largest_px, p99_px: of any landmark, and of all but one in a hundred, in pixels of the crop. nme_percent: of the
    mean ocular NME, up or down, in points of a percent.
    """

    largest_px: float
    p99_px: float
    nme_percent: float


BUDGETS: Mapping[Precision, Budget] = {
    "fp32": Budget(0.01, 0.01, 0.005),
    "fp16": Budget(math.inf, 0.1, 0.005),  # two cells that nearly tie may change places
    # A hundredth of the face's extent, which is 1 / 1.25 of the crop, and of the 3 % that a good model has.
    "int8": Budget(math.inf, 1.0, 0.03),
}


@dataclass(frozen=True)
class Difference:
    """Distance between torch's points and the engine's, in pixels of the crop, over faces and landmarks.

    worst: the landmarks with the largest distances, the worst first. nme_percent: the engine's mean ocular NME, and
    nme_change_percent: how much more than torch's that is.
    """

    faces: int
    mean_px: float
    p99_px: float
    largest_px: float
    worst: tuple[int, ...]
    nme_percent: float
    nme_change_percent: float

    def excess(self, budget: Budget) -> str:
        """What is over the budget, in words; empty where nothing is."""
        over = [
            f"{what} is {value:.4f} {unit}, the budget {limit:g}"
            for what, value, unit, limit in (
                ("the largest distance", self.largest_px, "px", budget.largest_px),
                ("the distance of 99 % of the landmarks", self.p99_px, "px", budget.p99_px),
                ("the change of the NME", abs(self.nme_change_percent), "points", budget.nme_percent),
            )
            if not value <= limit
        ]
        return ", ".join(over)


class Reference:
    """What torch in float32 says of labelled crops.

    crops: (N, S, S, 3) uint8 RGB. truth_px: (N, K, 2) their labels, in pixels of the crop.
    """

    def __init__(self, graph: LandmarkGraph, crops: torch.Tensor, truth_px: Array, scheme: Scheme) -> None:
        self.crops, self.truth_px, self.scheme = crops, truth_px, scheme
        with torch.no_grad():
            self.points_px = torch.cat([graph(part)[0] for part in torch.split(crops, 16)]).double().numpy()

    def compare(self, onnx_file: Path) -> Difference:
        """With ONNX Runtime on the same crops. On a CPU it computes a float16 net in float32, operation by operation,
        and rounds every result to float16."""
        engine = OnnxEngine(onnx_file)
        parts = [engine.run(part.numpy()).points_px for part in torch.split(self.crops, 16)]
        points = np.concatenate(parts).astype(np.float64)
        distance = np.linalg.norm(points - self.points_px, axis=-1)
        found = self._nme_percent(points)
        return Difference(
            faces=len(self.crops),
            mean_px=float(distance.mean()),
            p99_px=float(np.percentile(distance, 99)),
            largest_px=float(distance.max()),
            worst=tuple(np.argsort(-distance.max(0))[:NAMED].tolist()),
            nme_percent=found,
            nme_change_percent=found - self._nme_percent(self.points_px),
        )

    def _nme_percent(self, points: Array) -> float:
        return 100 * float(np.mean([nme(p, t, self.scheme) for p, t in zip(points, self.truth_px)]))
