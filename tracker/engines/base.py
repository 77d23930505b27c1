"""The protocols of engines: from crops to landmarks in pixels of the crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.gpu_frame import GpuFrame


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """Landmarks of N crops, float32, in pixels of the crop (x right, y down, pixel centres at integers).

    Attributes:
        points_px: (N, K, 2).
        scores: (N, K) 0 to 1.
        covariances_px2: (N, K, 3) as xx, xy, yy.
    """

    points_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    covariances_px2: NDArray[np.float32]


class Engine(Protocol):
    """Runs a landmark model on crops."""

    @property
    def spec(self) -> ModelSpec:
        """What the model expects and what its outputs mean."""
        ...

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Compute the landmarks of crops.

        Args:
            crops: (N, S, S, 3) uint8 RGB; S is spec.size. N may be 0.

        Returns:
            The landmarks of each crop.

        Raises:
            TrackerError: the crops have another shape or type, or the model cannot be run on them.
        """
        ...


@runtime_checkable
class GpuEngine(Engine, Protocol):
    """An engine that can also crop frames that are on the GPU."""

    def run_on(self, frame: GpuFrame, crops_from_image: Sequence[Array]) -> EngineOutput:
        """Crop a frame on the GPU and compute the landmarks of the crops.

        Args:
            frame: the frame on the GPU.
            crops_from_image: N (2, 3) transforms from pixels of the frame to pixels of a crop of S x S pixels.

        Returns:
            The landmarks of each crop, in pixels of the crop.

        Raises:
            TrackerError: the crops cannot be made, or the model cannot be run.
        """
        ...


def expect_crops(crops: object, size: int) -> None:
    """Raise TrackerError unless crops are an array (N, size, size, 3) of uint8.

    Args:
        crops: what an engine is asked to run on.
        size: side of the crops of its model, in pixels.
    """
    shape, kind = getattr(crops, "shape", None), getattr(crops, "dtype", type(crops).__name__)
    if not isinstance(crops, np.ndarray) or shape != (len(crops), size, size, 3) or kind != np.uint8:
        found = kind if shape is None else f"{shape} {kind}"
        raise TrackerError(f"expected crops (N, {size}, {size}, 3) uint8, got {found}")
