"""Landmarks of the faces in one picture, given their ROIs: crop, engine, back into the picture."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import Engine, EngineOutput, GpuEngine
from tracker.errors import TrackerError
from tracker.face.crop import Roi, eye_rotation_rad, roi_of_landmarks, warp
from tracker.face.geometry import Array, invert, transform_covariances, transform_points
from tracker.face.landmarks import Landmarks
from tracker.gpu_frame import GpuFrame
from tracker.tracking.stage_timer import StageTimer

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8] | GpuFrame

MAX_CROP_SIDES = 10  # landmarks farther away are invalid


class Estimate(NamedTuple):
    """Landmarks in pixels of the picture, and how sure the model is, 0..1, that the ROI shows a face."""

    landmarks: Landmarks
    score: float


def next_roi(landmarks: Landmarks) -> Roi:
    """Return the ROI for the next frame: the landmarks' extent, upright along their outer eye corners."""
    return roi_of_landmarks(landmarks.points_px, eye_rotation_rad(landmarks.points_px, landmarks.scheme))


class LandmarkEstimator:
    """Estimates landmarks with an engine: crop, engine, back into the picture.

    It keeps no state: the result depends on the picture and the ROIs only.

    Args:
        engine: runs the landmark model.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.scheme = engine.spec.landmark_scheme()
        self._visibility = engine.spec.landmark_visibility()

    def estimate(self, image_rgb: Picture, rois: Sequence[Roi], timer: StageTimer | None = None) -> list[Estimate]:
        """Return the landmarks in each ROI of a picture; all ROIs are one call of the engine.

        Args:
            image_rgb: (H, W, 3) uint8 RGB, or a GpuFrame, which is cropped where it lies and needs a TensorRT engine.
                A detector needs a picture on the host, but a small copy of the frame will do (YuNet shrinks it to
                320 px anyway): what it finds is scaled to the GpuFrame by (p + 0.5) * s - 0.5.
            rois: where to look.
            timer: takes the time of "crop" and "engine", on a GPU of both as "engine".

        Raises:
            TrackerError: for a GpuFrame that the engine does not take.
        """
        if isinstance(image_rgb, GpuFrame):
            crops_from_image = self._transforms(rois)
            if not rois:
                return []
            return self._in_pixels(crops_from_image, self._run_on(image_rgb, crops_from_image, timer or StageTimer()))
        return self.estimate_each([image_rgb] * len(rois), rois, timer)

    def estimate_each(
        self, images_rgb: Sequence[NDArray[np.uint8]], rois: Sequence[Roi], timer: StageTimer | None = None
    ) -> list[Estimate]:
        """Return the same as estimate, each ROI in a picture of its own; still one call of the engine."""
        if not rois:
            return []
        crops_from_image, timer = self._transforms(rois), timer or StageTimer()
        with timer("crop"):
            size = self.engine.spec.size
            crops = np.empty((len(rois), size, size, 3), np.uint8)
            for crop, image, crop_from_image in zip(crops, images_rgb, crops_from_image):
                crop[:] = warp(image, crop_from_image, size)
        with timer("engine"):
            output = self.engine.run(crops)
        return self._in_pixels(crops_from_image, output)

    def estimate_twice(
        self, image_rgb: Picture, rois: Sequence[Roi], timer: StageTimer | None = None
    ) -> list[Estimate]:
        """Return the landmarks in rough ROIs, as a detection's are, then again in the ROIs of these landmarks."""
        first = self.estimate(image_rgb, rois, timer)
        return self.estimate(image_rgb, [next_roi(face.landmarks) for face in first], timer)

    def _transforms(self, rois: Sequence[Roi]) -> list[Array]:
        return [roi.crop_from_image(self.engine.spec.size) for roi in rois]

    def _run_on(self, frame: GpuFrame, crops_from_image: Sequence[Array], timer: StageTimer) -> EngineOutput:
        if not isinstance(self.engine, GpuEngine):
            raise TrackerError(
                "this engine takes pictures in host memory only; frames on the GPU need a TensorRT engine: give its "
                ".plan as the model, or copy the frame to the host"
            )
        with timer("engine"):
            return self.engine.run_on(frame, crops_from_image)

    def _in_pixels(self, crops_from_image: Sequence[Array], output: EngineOutput) -> list[Estimate]:
        """Return the output of the engine in pixels of the picture."""
        rows = zip(crops_from_image, *_replace_invalid(output, self.engine.spec.size))
        return [self._in_picture(invert(crop_from_image), *row) for crop_from_image, *row in rows]

    def _in_picture(self, image_from_crop: Array, points: Array, scores: Array, covariances: Array) -> Estimate:
        scores = scores.astype(np.float64).clip(0, 1)
        visible = self._visibility
        landmarks = Landmarks.unchecked(
            transform_points(image_from_crop, points),
            scores,
            transform_covariances(image_from_crop, covariances),
            self.scheme,
            None if visible is None else visible.of(covariances.astype(np.float64), self.engine.spec.size),
        )
        return Estimate(landmarks, float(scores.sum()) / len(scores))


def _replace_invalid(output: EngineOutput, size: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return points, scores and covariances; a face with invalid values gets a score of 0 and the crop's corners.

    So every later stage sees it as a ROI without a face.
    """
    parts = points, scores, covariances = output.points_px, output.scores, output.covariances_px2
    if _is_valid(MAX_CROP_SIDES * size, *parts):
        return parts
    each_alone = ([part[n : n + 1] for part in parts] for n in range(len(points)))
    valid = np.array([_is_valid(MAX_CROP_SIDES * size, *face) for face in each_alone])
    log.warning("the engine returned invalid values for %d of %d faces", (~valid).sum(), len(valid))
    corners = np.resize([[0, 0], [size, 0], [size, size], [0, size]], points.shape[1:])
    each = valid[:, None, None]
    return np.where(each, points, corners), np.where(valid[:, None], scores, 0), np.where(each, covariances, 0)


def _is_valid(furthest_px: float, points: NDArray[Any], scores: NDArray[Any], covariances: NDArray[Any]) -> bool:
    """Whether all values are finite, the variances possible, and no face's points in one place or far beyond the crop.

    Such points would leave no ROI to go on with. A variance is neither negative beyond rounding nor that of points far
    beyond the crop.
    """
    if not (np.isfinite(scores).all() and (np.abs(covariances) <= furthest_px**2).all()):  # also true for NaN
        return False
    if (covariances[..., ::2] < -1).any():
        return False
    for (left, top), (right, bottom) in zip(points.min(1).tolist(), points.max(1).tolist()):
        # Compared one by one: a comparison with NaN is false, but min and max may skip NaN.
        near = -furthest_px < left and -furthest_px < top and right < furthest_px and bottom < furthest_px
        if not (near and max(right - left, bottom - top) >= 1):
            return False
    return True
