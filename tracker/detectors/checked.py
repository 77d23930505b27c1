"""Wraps a user's own detector: adds the name and the calibration, and checks what it returns."""

from __future__ import annotations

import numpy as np

from tracker.detectors.base import LANDMARKS_BOX, Array, BoxCalibration, Detection, Detector, Image
from tracker.detectors.loading import DETECTORS
from tracker.errors import TrackerError

MOST_PX = 1_000_000  # the largest coordinate; a JPEG has at most 65535 pixels a side


class CheckedDetector:
    """A detector with its name and calibration, or the default ones, whose results are checked.

    Attributes:
        detector: the detector as it was given.
        name: its attribute `name`, otherwise the name of its class.
        calibration: its attribute `calibration`, otherwise LANDMARKS_BOX.

    Raises:
        TrackerError: if it has no method `detect`, or its calibration is not a BoxCalibration.
    """

    def __init__(self, detector: Detector) -> None:
        if isinstance(detector, type) or not callable(getattr(detector, "detect", None)):
            got = f"the class {detector.__name__}" if isinstance(detector, type) else _short(detector)
            raise TrackerError(
                f"detector: expected one of auto, {', '.join(DETECTORS)}, or an object with a method "
                f"detect(image_rgb), got {got}"
            )
        self.detector = detector
        name = getattr(detector, "name", None)
        self.name = name if isinstance(name, str) and name else type(detector).__name__
        self.calibration: BoxCalibration = getattr(detector, "calibration", LANDMARKS_BOX)
        if not isinstance(self.calibration, BoxCalibration):
            raise TrackerError(
                f"the detector {self.name}: expected its calibration to be a BoxCalibration(right, down, side), "
                f"got {_short(self.calibration)}"
            )

    def detect(self, image_rgb: Image) -> list[Detection]:
        """Return what the detector finds, as float64, the best score first.

        Raises:
            TrackerError: if that is not a list of detections, or a detection has invalid values.
        """
        found = self.detector.detect(image_rgb)
        if not isinstance(found, (list, tuple)):
            raise self._expected("a list of Detection, [] if there is no face", found)
        return sorted((self._checked(each) for each in found), key=lambda each: -each.score)

    def _checked(self, found: object) -> Detection:
        if not isinstance(found, Detection):
            raise self._expected("every face as a Detection(box_px, score, eyes_px)", found)
        box = _numbers(found.box_px, (4,))
        if box is None or not is_box(box):
            raise self._expected(
                "box_px as x, y, width, height in pixels, not in parts of the picture, with sides of at least 1",
                found.box_px,
            )
        score = _numbers(found.score, ())
        if score is None or not -1e-6 <= score <= 1 + 1e-6:  # a float32 softmax may exceed 1 through rounding
            raise self._expected("score as a number in 0..1", found.score)
        eyes = _numbers(found.eyes_px, (2, 2))
        if eyes is None:
            raise self._expected("eyes_px as (2, 2), x and y of the right and of the left eye in pixels", found.eyes_px)
        return Detection(box, float(np.clip(score, 0, 1)), eyes)

    def _expected(self, expected: str, got: object) -> TrackerError:
        return TrackerError(f"the detector {self.name}: expected {expected}, got {_short(got)}; correct its detect()")


def is_box(box_px: Array) -> bool:
    """Tell whether a box (4,) x, y, width, height is valid: not beyond MOST_PX, with sides of at least 1 px."""
    return bool((np.abs(box_px) <= MOST_PX).all() and min(box_px[2:]) >= 1)


def _numbers(value: object, shape: tuple[int, ...]) -> Array | None:
    """Return the value as float64 numbers of that shape; None for anything else."""
    try:
        array = np.asarray(value)
    except Exception:  # ragged lists, tensors on a GPU, whatever an __array__ raises
        return None
    if array.shape != shape or array.dtype.kind not in "fiu" or not (np.abs(array) <= MOST_PX).all():
        return None
    return array.astype(np.float64)


def _short(value: object) -> str:
    """Return the repr of a value, shortened for a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
