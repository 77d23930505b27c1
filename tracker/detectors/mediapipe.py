"""BlazeFace through MediaPipe Tasks, for those who have MediaPipe."""

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
    """The same network as BlazeFace, with MediaPipe's own reading, decoding and merging."""

    name = "mediapipe"
    calibration = CALIBRATION  # the network is BlazeFace

    def __init__(self, model_path: Path | None = None) -> None:
        """model_path: as BlazeFace's. Raises TrackerError as that, and when MediaPipe is missing or has no Tasks."""
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
        weakref.finalize(self, self._net.close)  # MediaPipe prints a traceback when Python ends before it
        self._mediapipe: Any = mediapipe

    def detect(self, image_rgb: Image) -> list[Detection]:
        """The faces, best first."""
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image_rgb)
        )
        size = np.array(image_rgb.shape[1::-1], np.float64)
        found = [_detection(face, size) for face in self._net.detect(picture).detections]
        return sorted(found, key=lambda face: -face.score)


def _detection(face: Any, size: Array) -> Detection:
    """MediaPipe measures boxes in pixels and eyes in parts of the picture, both from the picture's corner."""
    box = face.bounding_box
    box_px = np.array([box.origin_x - 0.5, box.origin_y - 0.5, box.width, box.height], np.float64)
    eyes = np.array([[point.x, point.y] for point in face.keypoints[:2]])
    return Detection(box_px, float(face.categories[0].score), eyes * size - 0.5)
