"""YuNet (Wu et al., Machine Intelligence Research 2023) through OpenCV's FaceDetectorYN."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from tracker.detectors.base import BoxCalibration, Detection, Image, detection, private_file, resize
from tracker.errors import TrackerError
from tracker.system.extras import describe_missing
from tracker.system.onnx_runtime import import_onnxruntime
from tracker.system.opencv_log import quiet
from tracker.weights.packaged import YUNET, own_detector, packaged_detector

SIDE_PX = 320  # the largest longer side of the searched picture; the network's training size
SHORTEST_PX = 64  # smaller pictures are padded: below 33 px, OpenCV 4.14 reports false faces
MIN_SCORE = 0.6
MAX_OVERLAP = 0.3
CALIBRATION = BoxCalibration(right=0.0, down=0.14, side=1.13)
"""Medians over 600 faces of FairFace, fitted by tools/box_calibration.py."""
OUTPUTS = {  # shapes by name; a cell has `stride` pixels
    f"{kind}_{stride}": (1, (SIDE_PX // stride) ** 2, values)
    for kind, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    for stride in (8, 16, 32)
}


class YuNet:
    """Finds faces down to about 10 px in a picture of 320 px.

    Args:
        model_path: a YuNet file of your own; None for the packaged one.

    Raises:
        TrackerError: if the file is missing, damaged or not YuNet, and if this OpenCV cannot read it.
    """

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self, model_path: Path | None = None) -> None:
        content = packaged_detector(YUNET) if model_path is None else own_yunet(model_path)
        try:
            with quiet():  # OpenCV 5 always warns about a setting that was not made
                self._net = _create(content)
                if model_path is not None:
                    self._net.detect(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))
        except (AttributeError, cv2.error):
            otherwise = "" if model_path is None else ", or leave --detector-model out"
            raise TrackerError(
                f"OpenCV {cv2.__version__} cannot read {model_path or YUNET.name}; "
                f"install opencv-python 4.8 or newer{otherwise}"
            ) from None

    def detect(self, image_rgb: Image) -> list[Detection]:
        """Find the faces, see Detector. A picture with a longer side above 320 px is shrunk; none is enlarged."""
        small, image_from_small = resize(image_rgb, min(1.0, SIDE_PX / max(image_rgb.shape[:2])))
        height, width = small.shape[:2]
        below, beside = max(0, SHORTEST_PX - height), max(0, SHORTEST_PX - width)
        padded = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        self._net.setInputSize(padded.shape[1::-1])
        found = self._net.detect(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return []  # type: ignore[unreachable]
        rows = np.array(found, np.float64)[np.argsort(-found[:, 14])]
        rows = rows[np.isfinite(rows).all(1)]  # a user's network may be damaged
        rows[:, 2:4] += rows[:, :2]
        rows[:, :8] -= 0.5  # its origin is the picture's corner, as a comparison with mirrored pictures shows
        return [detection(row[:8].reshape(4, 2), row[14], image_from_small) for row in rows]


def _create(content: bytes) -> cv2.FaceDetectorYN:
    """Make OpenCV's detector from the bytes that were checked, not from a file that may have changed since."""
    options = ((SIDE_PX, SIDE_PX), MIN_SCORE, MAX_OVERLAP)
    try:
        return cv2.FaceDetectorYN.create("onnx", np.frombuffer(content, np.uint8), np.empty(0, np.uint8), *options)
    except TypeError:  # OpenCV 4.8 takes only a file
        with private_file(content, YUNET.name) as path:
            return cv2.FaceDetectorYN.create(path, "", *options)


def own_yunet(path: Path) -> bytes:
    """Read and check a user's YuNet file. ONNX Runtime runs it first, because OpenCV can crash on a damaged one.

    Args:
        path: of the file.

    Returns:
        Its content.

    Raises:
        TrackerError: if it cannot be read or is not YuNet, and if ONNX Runtime is not installed.
    """
    content = own_detector(path)
    if hashlib.sha256(content).hexdigest() == YUNET.sha256:
        return content
    try:
        onnxruntime = import_onnxruntime()
    except ImportError as error:
        needs = describe_missing("ONNX Runtime", "cpu", error)
        raise TrackerError(
            f"{path} is not the packaged YuNet, and checking another {needs}, or leave --detector-model out"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        _expect_outputs(path, {output.name: tuple(output.shape) for output in session.get_outputs()})
        found = session.run(list(OUTPUTS), {"input": np.zeros((1, 3, SIDE_PX, SIDE_PX), np.float32)})
    except TrackerError:
        raise
    except Exception as error:  # onnxruntime's errors derive from Exception only
        reason = " ".join(str(error).split())[:160]
        raise TrackerError(f"{path}: expected YuNet as an ONNX file, ONNX Runtime cannot run it ({reason})") from None
    shapes = dict(zip(OUTPUTS, (output.shape for output in found)))
    if shapes != OUTPUTS or not all(np.isfinite(output).all() for output in found):
        raise TrackerError(f"{path}: expected YuNet's outputs {OUTPUTS}, got {shapes} or values that are not finite")
    return content


def _expect_outputs(path: Path, stated: Mapping[str, tuple[object, ...]]) -> None:
    """Check the shapes that ONNX Runtime inferred, before a network with absurd ones runs for minutes.

    Raises:
        TrackerError: if one cannot be YuNet's. A side whose length is not known before the run is no number.
    """
    for name, expected in OUTPUTS.items():
        shape = stated.get(name, ())
        sides = zip(shape, expected)
        if len(shape) != len(expected) or any(isinstance(side, int) and side != known for side, known in sides):
            raise TrackerError(f"{path}: expected YuNet's output {name} of {expected}, its network gives {shape}")
