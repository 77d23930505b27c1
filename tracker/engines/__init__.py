"""Engines: crops in, landmarks in pixels of the crop out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.engines.spec import ModelSpec


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
