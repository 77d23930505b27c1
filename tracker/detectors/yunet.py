"""YuNet (Wu et al., Machine Intelligence Research 2023) through OpenCV's FaceDetectorYN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from tracker.detectors import Detection, Image, detection, resize
from tracker.errors import TrackerError

SIDE_PX = 320  # the longer side of the searched picture, at most; the network was trained at this size
SHORTEST_PX = 64  # padded up to this: below 33, OpenCV 4.14 reports faces made of nothing
MIN_SCORE = 0.6
MAX_OVERLAP = 0.3


class YuNet:
    """Finds faces down to about 10 px in a picture of 320 px."""

    name = "yunet"

    def __init__(self, model_path: Path) -> None:
        """Raises TrackerError when this OpenCV cannot read the model."""
        try:
            with _without_warnings():
                self._net = cv2.FaceDetectorYN.create(str(model_path), "", (SIDE_PX, SIDE_PX), MIN_SCORE, MAX_OVERLAP)
        except (AttributeError, cv2.error):
            raise TrackerError(
                f"OpenCV {cv2.__version__} cannot read {model_path}; install opencv-python 4.8 or newer"
            ) from None

    def detect(self, image_rgb: Image) -> list[Detection]:
        """The faces, best first. Shrinks a picture whose longer side exceeds 320 px; never enlarges one."""
        small, image_from_small = resize(image_rgb, min(1.0, SIDE_PX / max(image_rgb.shape[:2])))
        height, width = small.shape[:2]
        below, beside = max(0, SHORTEST_PX - height), max(0, SHORTEST_PX - width)
        padded = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        self._net.setInputSize(padded.shape[1::-1])
        found = self._net.detect(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return []  # type: ignore[unreachable]
        rows = np.array(found, np.float64)[np.argsort(-found[:, 14])]
        rows[:, 2:4] += rows[:, :2]
        rows[:, :8] -= 0.5  # it measures from the picture's corner, as comparing mirrored pictures shows
        return [detection(row[:8].reshape(4, 2), row[14], image_from_small) for row in rows]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """OpenCV 5 warns at every start of a setting that nobody made. Older ones have no such switch."""
    if not hasattr(cv2.utils, "logging"):
        yield
        return
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
