"""BlazeFace, short range (Bazarevsky et al., 2019) through OpenCV's TFLite reader."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from tracker.detectors.base import Array, BoxCalibration, Detection, Image, detection, private_file, resize
from tracker.errors import TrackerError
from tracker.weights.packaged import BLAZEFACE, own_detector, packaged_detector

SIDE_PX = 128
MIN_SCORE = 0.5
MIN_OVERLAP = 0.3  # the IoU from which on candidates are one face
CALIBRATION = BoxCalibration(right=0.0, down=0.06, side=1.16)
"""Medians over 600 faces of FairFace, fitted by tools/box_calibration.py."""


class BlazeFace:
    """Finds faces that fill a large part of the picture; of small faces about 1 in 3 of those that YuNet finds.

    Args:
        model_path: a copy of the packaged file; None for the packaged one.

    Raises:
        TrackerError: for another file, and if this OpenCV cannot read it.
    """

    name = "blazeface"
    calibration = CALIBRATION

    def __init__(self, model_path: Path | None = None) -> None:
        content = blazeface_content(model_path)
        try:
            self._net = _read_net(content)
        except (AttributeError, cv2.error):
            raise TrackerError(
                f"OpenCV {cv2.__version__} cannot read {BLAZEFACE.name}; install opencv-python 4.8 or newer"
            ) from None
        self._anchors = anchors()

    def detect(self, image_rgb: Image) -> list[Detection]:
        """Find the faces, see Detector. The picture is resized into 128 x 128 px with black borders."""
        square, image_from_square = letterbox(image_rgb)
        self._net.setInput(cv2.dnn.blobFromImage(square, 1 / 127.5, mean=(127.5, 127.5, 127.5)))
        values, logits = self._net.forward(["regressors", "classificators"])
        scores = 1 / (1 + np.exp(-np.clip(logits.ravel().astype(np.float64), -100, 100)))
        found = scores >= MIN_SCORE
        points = decode(values[0, found].astype(np.float64), self._anchors[found])
        return [detection(p, s, image_from_square) for p, s in merge(points, scores[found])]


def _read_net(content: bytes) -> cv2.dnn.Net:
    """Load OpenCV's network from the bytes that were checked, not from a file that may have changed since.

    OpenCV 5's new engine gives one output per run; the classic engine, the only one of 4.x, gives both. OpenCV 5
    ignores the choice of the engine when it reads from memory, so it reads a private file.
    """
    if not hasattr(cv2.dnn, "ENGINE_CLASSIC"):
        return cv2.dnn.readNetFromTFLite(np.frombuffer(content, np.uint8))
    with private_file(content, BLAZEFACE.name) as path:
        return cv2.dnn.readNetFromTFLite(path, engine=cv2.dnn.ENGINE_CLASSIC)


def blazeface_content(path: Path | None) -> bytes:
    """Read the network's file and check its SHA-256, because OpenCV can crash on any other.

    Args:
        path: a copy of the packaged file; None for the packaged one.

    Raises:
        TrackerError: if the file is missing or damaged, or another network.
    """
    if path is None:
        return packaged_detector(BLAZEFACE)
    content = own_detector(path)
    if (got := hashlib.sha256(content).hexdigest()) != BLAZEFACE.sha256:
        raise TrackerError(
            f"{path} is not {BLAZEFACE.name}, the only network that this detector decodes: expected SHA-256 "
            f"{BLAZEFACE.sha256}, got {got}; leave --detector-model out"
        )
    return content


def anchors() -> Array:
    """Return the anchors' centres (896, 2) in the network's input: 2 per cell of 8 px, then 6 per cell of 16 px.

    The origin is the picture's corner, so the first pixel's centre is at 0.5.
    """

    def grid(stride: int, repeats: int) -> Array:
        x, y = np.meshgrid(*[np.arange(stride / 2, SIDE_PX, stride)] * 2)
        return np.repeat(np.column_stack([x.ravel(), y.ravel()]), repeats, axis=0)

    return np.concatenate([grid(8, 2), grid(16, 6)])


def letterbox(image_rgb: Image) -> tuple[Image, Array]:
    """Resize a picture into the middle of a black square.

    Returns:
        The square (128, 128, 3), and the transform image_from_square (2, 3).
    """
    inner, image_from_inner = resize(image_rgb, SIDE_PX / max(image_rgb.shape[:2]))
    rows, columns = SIDE_PX - inner.shape[0], SIDE_PX - inner.shape[1]
    top, left = rows // 2, columns // 2
    square = cv2.copyMakeBorder(inner, top, rows - top, left, columns - left, cv2.BORDER_CONSTANT)
    image_from_square = image_from_inner.copy()
    image_from_square[:, 2] -= image_from_inner[:, :2] @ [left, top]
    return np.asarray(square, np.uint8), image_from_square


def decode(values: Array, centres: Array) -> Array:
    """Decode the network's output.

    Args:
        values: (N, 16) centre, width and height of the box, then key points, relative to the anchors.
        centres: (N, 2) of the anchors, in pixels of the square.

    Returns:
        (N, 4, 2) upper left corner, lower right corner, right eye, left eye; pixel centres at integers.
    """
    middle, half, right, left = values[:, 0:2], values[:, 2:4] / 2, values[:, 4:6], values[:, 6:8]
    offsets = np.stack([middle - half, middle + half, right, left], axis=1)
    return offsets + centres[:, None] - 0.5


def merge(points: Array, scores: Array) -> list[tuple[Array, float]]:
    """Average the overlapping candidates of each face, weighted by their scores.

    BlazeFace averages instead of keeping only the best candidate, so that its boxes jitter less.

    Args:
        points: (N, 4, 2) candidates, as decode returns them.
        scores: (N,) 0..1.

    Returns:
        The points (4, 2) and the best score of each face, the highest score first.
    """
    faces = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        same = overlaps(points[left[0]], points[left]) >= MIN_OVERLAP
        same[0] = True
        mean = np.average(points[left[same]], axis=0, weights=scores[left[same]])
        faces.append((mean, float(scores[left[0]])))
        left = left[~same]
    return faces


def overlaps(one: Array, many: Array) -> Array:
    """Return the intersection over union (N,) of one box, (4, 2) points as in decode, with many, (N, 4, 2)."""
    sides = np.minimum(one[1], many[:, 1]) - np.maximum(one[0], many[:, 0])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    union = np.prod(one[1] - one[0]) + np.prod(many[:, 1] - many[:, 0], axis=1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9))
