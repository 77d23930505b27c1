"""Landmarks of the faces in one picture, given where to look: crop, engine, back into the picture."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import Engine, EngineOutput, GpuEngine
from tracker.errors import TrackerError
from tracker.face.crop import Roi, eye_rotation_rad, roi_of_landmarks, warp
from tracker.face.geometry import Array, invert, transform_covariances, transform_points
from tracker.face.landmarks import Landmarks
from tracker.gpu_frame import GpuFrame
from tracker.result import Measured

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8] | GpuFrame

FAR = 10  # times the crop's side: no landmark of a face in it is farther away


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
            self._count(name, time.perf_counter() - start)

    def add(self, other: Stages) -> None:
        """Count in what another has counted."""
        for name, seconds in other.seconds.items():
            self._count(name, seconds)

    def _count(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def next_roi(landmarks: Landmarks) -> Roi:
    """The view for the next frame: the landmarks' extent, upright along their outer eye corners."""
    return roi_of_landmarks(landmarks.points_px, eye_rotation_rad(landmarks.points_px, landmarks.scheme))


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
        if isinstance(image_rgb, GpuFrame):
            views = self._views(rois)
            return self._measured(views, self._run_on(image_rgb, views, stages or Stages())) if rois else []
        return self.measure_in([image_rgb] * len(rois), rois, stages)

    def measure_in(
        self, images_rgb: Sequence[NDArray[np.uint8]], rois: Sequence[Roi], stages: Stages | None = None
    ) -> list[Measured]:
        """As measure, each view in a picture of its own, still in one call of the engine."""
        if not rois:
            return []
        views, stages = self._views(rois), stages or Stages()
        with stages("crop"):
            size = self.engine.spec.size
            crops = np.empty((len(views), size, size, 3), np.uint8)
            for crop, image, view in zip(crops, images_rgb, views):
                crop[:] = warp(image, view, size)
        with stages("engine"):
            output = self.engine.run(crops)
        return self._measured(views, output)

    def measure_twice(self, image_rgb: Picture, rois: Sequence[Roi], stages: Stages | None = None) -> list[Measured]:
        """As measure, then again in the views of what was found: for rough views, as a detection's are."""
        first = self.measure(image_rgb, rois, stages)
        return self.measure(image_rgb, [next_roi(face.landmarks) for face in first], stages)

    def _views(self, rois: Sequence[Roi]) -> list[Array]:
        return [roi.crop_from_image(self.engine.spec.size) for roi in rois]

    def _run_on(self, frame: GpuFrame, views: Sequence[Array], stages: Stages) -> EngineOutput:
        if not isinstance(self.engine, GpuEngine):
            raise TrackerError(
                "this engine takes pictures of the host only; frames on the GPU need a TensorRT engine: give its "
                ".plan as the model, or copy the frame to the host"
            )
        with stages("engine"):
            return self.engine.run_on(frame, views)

    def _measured(self, views: Sequence[Array], output: EngineOutput) -> list[Measured]:
        """The engine's answers, in pixels of the picture."""
        rows = zip(views, *_credible(output, self.engine.spec.size))
        return [self._in_picture(invert(view), *row) for view, *row in rows]

    def _in_picture(self, image_from_crop: Array, points: Array, scores: Array, covariances: Array) -> Measured:
        scores = scores.astype(np.float64).clip(0, 1)
        landmarks = Landmarks.unchecked(
            transform_points(image_from_crop, points),
            scores,
            transform_covariances(image_from_crop, covariances),
            self.scheme,
        )
        return Measured(landmarks, float(scores.sum()) / len(scores))


def _credible(output: EngineOutput, size: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Points, scores and covariances; a face whose numbers cannot be gets a score of 0, its points the crop's corners:
    to every stage after it is a view without a face."""
    parts = points, scores, covariances = output.points_px, output.scores, output.covariances_px2
    if _can_be(FAR * size, *parts):
        return parts
    each_alone = ([part[n : n + 1] for part in parts] for n in range(len(points)))
    sound = np.array([_can_be(FAR * size, *face) for face in each_alone])
    log.warning("the engine answered %d of %d views with numbers that cannot be", (~sound).sum(), len(sound))
    corners = np.resize([[0, 0], [size, 0], [size, size], [0, size]], points.shape[1:])
    each = sound[:, None, None]
    return np.where(each, points, corners), np.where(sound[:, None], scores, 0), np.where(each, covariances, 0)


def _can_be(far_px: float, points: NDArray[Any], scores: NDArray[Any], covariances: NDArray[Any]) -> bool:
    """Whether the numbers of all faces are finite, and no face's points all in one place or far beyond the crop, which
    would leave no view to go on with."""
    if not (np.isfinite(scores).all() and np.isfinite(covariances).all()):
        return False
    for (left, top), (right, bottom) in zip(points.min(1).tolist(), points.max(1).tolist()):
        # Each by itself: a comparison with nan is false, but min and max skip one that is not their first argument.
        near = -far_px < left and -far_px < top and right < far_px and bottom < far_px
        if not (near and max(right - left, bottom - top) >= 1):
            return False
    return True
