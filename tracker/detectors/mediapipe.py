"""BlazeFace through MediaPipe Tasks, if MediaPipe is installed."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np

from tracker.detectors.base import Array, Detection, Image
from tracker.detectors.blazeface import CALIBRATION, blazeface_content
from tracker.errors import TrackerError
from tracker.system.extras import describe_missing


class MediaPipe:
    """The network of BlazeFace, with MediaPipe's own preprocessing, decoding and merging.

    Args:
        model_path: a copy of the packaged file; None for the packaged one.

    Raises:
        TrackerError: for another file, and if MediaPipe is not installed or has no Tasks.
    """

    name = "mediapipe"
    calibration = CALIBRATION  # the network is BlazeFace

    def __init__(self, model_path: Path | None = None) -> None:
        try:
            import mediapipe  # type: ignore[import-not-found, unused-ignore]
            from mediapipe.tasks.python import (  # type: ignore[import-not-found, unused-ignore]
                BaseOptions,
                vision,
            )
        except ImportError as error:
            raise TrackerError(f"the mediapipe detector {describe_missing('MediaPipe', 'mediapipe', error)}") from None
        options = vision.FaceDetectorOptions(BaseOptions(model_asset_buffer=blazeface_content(model_path)))
        self._net = vision.FaceDetector.create_from_options(options)
        weakref.finalize(self, self._net.close)  # else MediaPipe prints a traceback when Python exits
        self._mediapipe: Any = mediapipe

    def detect(self, image_rgb: Image) -> list[Detection]:
        """Find the faces, see Detector."""
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image_rgb)
        )
        size = np.array(image_rgb.shape[1::-1], np.float64)
        found = [_detection(face, size) for face in self._net.detect(picture).detections]
        return sorted(found, key=lambda face: -face.score)


def _detection(face: Any, size: Array) -> Detection:
    """Convert from MediaPipe's boxes in pixels and eyes in fractions of the picture, both from the picture's corner."""
    box = face.bounding_box
    box_px = np.array([box.origin_x - 0.5, box.origin_y - 0.5, box.width, box.height], np.float64)
    eyes = np.array([[point.x, point.y] for point in face.keypoints[:2]])
    return Detection(box_px, float(face.categories[0].score), eyes * size - 0.5)
