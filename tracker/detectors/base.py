"""Frame to detections: where faces are, roughly, and their eyes."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError, expect_choice
from tracker.face.geometry import transform_points

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Array = NDArray[np.float64]
DetectorName = Literal["auto", "yunet", "blazeface", "mediapipe"]


@dataclass(frozen=True, eq=False)
class Detection:
    """One face, in pixels of the picture that was searched (pixel centres at integers).

    box_px: (4,) x, y, width, height; it may reach beyond the picture. What it spans is the detector's custom:
        YuNet's reaches from the forehead to the chin, BlazeFace's is a square from the brows to the chin.
    score: 0..1, that this is a face.
    eyes_px: (2, 2) the centres of the subject's right eye, then left: in an upright face first the one on the
        left in the picture.
    """

    box_px: Array
    score: float
    eyes_px: Array


class Detector(Protocol):
    """Finds faces in one picture, without memory of earlier ones. Each thread needs its own."""

    name: str

    def detect(self, image_rgb: Image) -> list[Detection]:
        """The faces in an RGB picture (H, W, 3) of any size, best score first; an empty list for none."""


def load_detector(name: DetectorName = "auto", model_path: Path | None = None) -> Detector:
    """The detector of that name, with its packaged file or the one at model_path.

    "auto" takes YuNet, which finds more small faces; with a model_path, the one that reads it: BlazeFace a .tflite
    file, YuNet any other. Of YuNet a file of one's own may be given, such as one trained again; BlazeFace's decoding
    fits the packaged network alone. Raises TrackerError when the file cannot be had or read, or a package is missing.
    """
    expect_choice("detector", name, get_args(DetectorName))
    if name == "auto":
        name = "blazeface" if model_path is not None and model_path.suffix == ".tflite" else "yunet"
        log.info("detector: %s%s", name, "" if model_path is None else f", which reads {model_path}")
    if name == "yunet":
        from tracker.detectors.yunet import YuNet

        return YuNet(model_path)
    if name == "blazeface":
        from tracker.detectors.blazeface import BlazeFace

        return BlazeFace(model_path)
    from tracker.detectors.mediapipe import MediaPipe

    return MediaPipe(model_path)


@contextmanager
def private_file(content: bytes, name: str) -> Iterator[str]:
    """The path of a file with that content in a folder that nobody else can write, for what reads only files.

    Raises TrackerError where there is no folder for temporary files.
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
    """The picture scaled, and the transform (2, 3) image_from_resized."""
    size = np.array(image_rgb.shape[1::-1])
    new = np.maximum(np.rint(size * scale), 1).astype(int)
    factor = size / new
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image_rgb, (int(new[0]), int(new[1])), interpolation=how)
    return np.asarray(resized, np.uint8), np.column_stack([np.diag(factor), 0.5 * factor - 0.5])


def detection(points: Array, score: float, image_from_points: Array) -> Detection:
    """A Detection from points (4, 2): the box's low corner, its high corner and the two eyes."""
    low, high, *eyes = transform_points(image_from_points, points)
    return Detection(np.concatenate([low, high - low]), float(score), np.array(eyes))
