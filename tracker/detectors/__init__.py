"""Frame to detections: where faces are, roughly, and their eyes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.geometry import transform_points
from tracker.models import BLAZEFACE, YUNET, ModelUnavailable, find_model

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
    """The detector of that name, its file found by tracker.models or given as model_path.

    "auto" takes YuNet where its file can be had, else BlazeFace; with a model_path, the one that reads it.
    Raises TrackerError when the file cannot be had or read, or a package is missing.
    """
    if name == "auto":
        return _load_auto(model_path)
    if name == "yunet":
        from tracker.detectors.yunet import YuNet

        return YuNet(find_model(YUNET, model_path))
    if name == "blazeface":
        from tracker.detectors.blazeface import BlazeFace

        return BlazeFace(find_model(BLAZEFACE, model_path))
    if name == "mediapipe":
        from tracker.detectors.mediapipe import MediaPipe

        return MediaPipe(find_model(BLAZEFACE, model_path))
    raise TrackerError(f"unknown detector {name!r}; choose auto, yunet, blazeface or mediapipe")


def _load_auto(model_path: Path | None) -> Detector:
    if model_path is not None:
        name: DetectorName = "blazeface" if model_path.suffix == ".tflite" else "yunet"
        log.info("detector: %s, which reads %s", name, model_path)
        return load_detector(name, model_path)
    try:
        detector = load_detector("yunet")
    except ModelUnavailable as error:
        log.warning("detector: blazeface, which misses small faces, since YuNet cannot be had: %s", error)
        return load_detector("blazeface")
    log.info("detector: yunet, the better one, because its file is at hand")
    return detector


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
