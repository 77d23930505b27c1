"""The detector protocol, its results, and the calibration from a detector's box to the ROI of a face."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.crop import VIEW, Roi
from tracker.face.geometry import transform_points

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detection:
    """One face, in pixels of the picture that was searched (pixel centres at integers, x to the right, y down).

    Attributes:
        box_px: (4,) x, y, width, height; it may reach beyond the picture. What part of the face it spans differs
            between detectors: see BoxCalibration.
        score: the detector's confidence that this is a face, 0..1. A new face below 0.7 needs a higher score of the
            landmark model than a tracked one, see tracker.tracking.score_thresholds.
        eyes_px: (2, 2) the centres of the subject's right eye, then of the left one: in an upright face first the one
            on the left in the picture. They are only used for the rotation of the face in the picture. A detector
            that finds no eyes returns two points on a level line, such as (0, 0) and (1, 0), for upright faces.
    """

    box_px: Array
    score: float
    eyes_px: Array


@dataclass(frozen=True)
class BoxCalibration:
    """Where the ROI of a face lies relative to the box that a detector draws around it.

    The ROI is the square that the landmark model is given: tracker.face.crop.VIEW times the extent of the landmarks.
    All numbers are in sides of the box, sqrt(width * height), along the axes of the upright face.
    `python -m tools.box_calibration` fits them to labelled faces.

    Attributes:
        right: from the centre of the box to the centre of the ROI, towards the right of the upright face's picture.
        down: the same, towards the chin.
        side: the side of the ROI.

    Raises:
        TrackerError: for a number that is not finite or above LIMIT, or a side that is not positive.
    """

    right: float
    down: float
    side: float

    LIMIT = 100

    def __post_init__(self) -> None:
        """Refuse invalid numbers."""
        if not (max(abs(self.right), abs(self.down), self.side) <= self.LIMIT and self.side * self.LIMIT >= 1):
            raise TrackerError(
                f"expected right and down within {self.LIMIT} sides of the box and a side of 1/{self.LIMIT} to "
                f"{self.LIMIT}, got {self}"
            )


LANDMARKS_BOX = BoxCalibration(0.0, 0.0, VIEW)
"""For a box that spans the landmarks, from the brows to the chin; the default for a detector without calibration."""


class Detector(Protocol):
    """The protocol of Tracker(detector=...): finds faces in one picture, independently of earlier ones.

    Two attributes are optional: name (str), for messages and reports, by default the name of its class; calibration
    (BoxCalibration), of its boxes, by default LANDMARKS_BOX. Each thread needs a detector of its own.
    """

    def detect(self, image_rgb: Image) -> list[Detection]:
        """Find the faces in a picture.

        The tracker also passes pictures rotated by quarter turns, to find faces at any roll.

        Args:
            image_rgb: (H, W, 3) RGB of any size. It must not be changed.

        Returns:
            The faces, the one with the best score first; an empty list for none.
        """


class CalibratedDetector(Detector, Protocol):
    """A detector with a name and the calibration of its boxes."""

    name: str
    calibration: BoxCalibration


def roi_of_detection(found: Detection, calibration: BoxCalibration) -> Roi:
    """Return the ROI of a detected face, upright along its eyes.

    Args:
        found: the face.
        calibration: of the detector that found it.

    Returns:
        The ROI, in the pixels of the detection.
    """
    x, y, width, height = np.asarray(found.box_px, np.float64)
    right_eye, left_eye = np.asarray(found.eyes_px, np.float64)
    rotation = math.atan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0])
    size = math.sqrt(width * height)
    cos, sin = math.cos(rotation), math.sin(rotation)
    across, down = calibration.right * size, calibration.down * size
    center = (x + width / 2 + cos * across - sin * down, y + height / 2 + sin * across + cos * down)
    return Roi(center, calibration.side * size, rotation)


@contextmanager
def private_file(content: bytes, name: str) -> Iterator[str]:
    """Write content to a temporary file that only this user can write, for libraries that read only files.

    Args:
        content: of the file.
        name: of the file.

    Yields:
        Its path; the file is deleted on leaving.

    Raises:
        TrackerError: if no temporary file can be written.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(content)
            yield path
    except OSError as error:
        raise TrackerError(
            f"this OpenCV reads a detector from a file alone, and no temporary one can be written: {error.strerror}; "
            "name a writable folder in $TMPDIR"
        ) from None


def resize(image_rgb: Image, scale: float) -> tuple[Image, Array]:
    """Resize a picture.

    Args:
        image_rgb: (H, W, 3).
        scale: the factor; the new size is rounded.

    Returns:
        The resized picture, and the transform image_from_resized (2, 3), pixel centres at integers.
    """
    size = np.array(image_rgb.shape[1::-1])
    new = np.maximum(np.rint(size * scale), 1).astype(int)
    factor = size / new
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image_rgb, (int(new[0]), int(new[1])), interpolation=interpolation)
    return np.asarray(resized, np.uint8), np.column_stack([np.diag(factor), 0.5 * factor - 0.5])


def detection(points: Array, score: float, image_from_points: Array) -> Detection:
    """Make a Detection from points in another coordinate system.

    Args:
        points: (4, 2) the box's upper left corner, its lower right corner, the right and the left eye.
        score: 0..1.
        image_from_points: (2, 3) the transform into pixels of the picture.
    """
    low, high, *eyes = transform_points(image_from_points, points)
    return Detection(np.concatenate([low, high - low]), float(score), np.array(eyes))
