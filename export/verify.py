"""How far an engine's landmarks are from torch's, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from export.graph import LandmarkGraph
from tracker.engines.onnx import OnnxEngine


@dataclass(frozen=True)
class Difference:
    """Distance between torch's points and the engine's, in pixels of the crop, over faces and landmarks."""

    faces: int
    mean_px: float
    p99_px: float
    largest_px: float
    worst_landmark: int


def compare(graph: LandmarkGraph, onnx_file: Path, crops: torch.Tensor) -> Difference:
    """Torch against ONNX Runtime on the same crops (N, S, S, 3), uint8."""
    with torch.no_grad():
        expected = torch.cat([graph(part)[0] for part in torch.split(crops, 16)]).numpy()
    engine = OnnxEngine(onnx_file)
    got = np.concatenate([engine.run(part.numpy()).points_px for part in torch.split(crops, 16)])
    distance = np.linalg.norm(got.astype(np.float64) - expected, axis=-1)
    return Difference(
        faces=len(crops),
        mean_px=float(distance.mean()),
        p99_px=float(np.percentile(distance, 99)),
        largest_px=float(distance.max()),
        worst_landmark=int(distance.max(0).argmax()),
    )
