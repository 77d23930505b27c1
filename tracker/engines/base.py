"""Engines: crops in, landmarks in pixels of the crop out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tracker.engines.spec import ModelSpec
from tracker.face.geometry import Array
from tracker.gpu_frame import GpuFrame


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """Landmarks of N crops, float32, in pixels of the crop (pixel centres at integers).

    points_px: (N, K, 2). scores: (N, K) in 0..1. covariances_px2: (N, K, 3) as xx, xy, yy.
    """

    points_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    covariances_px2: NDArray[np.float32]


class Engine(Protocol):
    """Anything that turns crops into landmarks."""

    @property
    def spec(self) -> ModelSpec: ...

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Landmarks of RGB crops (N, S, S, 3)."""
        ...


@runtime_checkable
class GpuEngine(Engine, Protocol):
    """An engine that also takes views of frames that are on the GPU already."""

    def run_on(self, frame: GpuFrame, crops_from_image: Sequence[Array]) -> EngineOutput:
        """Landmarks of the views that (2, 3) transforms take to crops of S x S pixels, in pixels of these."""
        ...
