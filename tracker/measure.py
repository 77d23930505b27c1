"""Landmarks of the faces in one picture, given where to look: crop, engine, back into the picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracker.engines import Engine, EngineOutput, GpuEngine
from tracker.errors import TrackerError
from tracker.face.crop import Roi, warp
from tracker.face.geometry import Array, invert, transform_covariances, transform_points
from tracker.face.landmarks import Landmarks
from tracker.gpu_frame import GpuFrame
from tracker.roi import next_roi

Picture = NDArray[np.uint8] | GpuFrame


class Stages:
    """Seconds spent in each stage of one step: `with stages("crop"):` adds to stages.seconds["crop"]."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Measured(NamedTuple):
    """Landmarks in pixels of the picture, and how sure the engine is, 0..1, that the view shows a face."""

    landmarks: Landmarks
    score: float


class Measurer:
    """Measures faces with an engine. Keeps no memory: the result depends on the picture and views only."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.scheme = engine.spec.landmark_scheme()

    def measure(self, image_rgb: Picture, rois: Sequence[Roi], stages: Stages | None = None) -> list[Measured]:
        """The landmarks in each view of an RGB picture (H, W, 3), all views in one call of the engine.

        image_rgb: on the host, or a GpuFrame, which is cropped where it lies; then the engine must be a TensorRT one.
        A detector needs a picture on the host, but a small copy of the frame does (YuNet shrinks to 320 px anyway):
        what it finds is scaled to the GpuFrame by (p + .5) * s - .5. stages: takes the time of "crop" and "engine",
        and of both as "engine" on a GPU. Raises TrackerError for a GpuFrame that the engine does not take.
        """
        if not rois:
            return []
        views = [roi.crop_from_image(self.engine.spec.size) for roi in rois]
        output = self._run(image_rgb, views, stages or Stages())
        rows = zip(views, output.points_px, output.scores, output.covariances_px2)
        return [self._measured(invert(view), *row) for view, *row in rows]

    def measure_twice(self, image_rgb: Picture, rois: Sequence[Roi], stages: Stages | None = None) -> list[Measured]:
        """As measure, then again in the views of what was found: for rough views, as a detection's are."""
        first = self.measure(image_rgb, rois, stages)
        return self.measure(image_rgb, [next_roi(face.landmarks) for face in first], stages)

    def _run(self, image: Picture, views: Sequence[Array], stages: Stages) -> EngineOutput:
        if isinstance(image, GpuFrame):
            if not isinstance(self.engine, GpuEngine):
                raise TrackerError(
                    "this engine takes pictures of the host only; frames on the GPU need a TensorRT engine: give its "
                    ".plan as the model, or copy the frame to the host"
                )
            with stages("engine"):
                return self.engine.run_on(image, views)
        with stages("crop"):
            crops = np.stack([warp(image, view, self.engine.spec.size) for view in views])
        with stages("engine"):
            return self.engine.run(crops)

    def _measured(
        self,
        image_from_crop: Array,
        points: NDArray[np.float32],
        scores: NDArray[np.float32],
        covariances: NDArray[np.float32],
    ) -> Measured:
        landmarks = Landmarks(
            transform_points(image_from_crop, points),
            scores.clip(0, 1),
            transform_covariances(image_from_crop, covariances),
            self.scheme,
        )
        return Measured(landmarks, float(scores.mean()))
