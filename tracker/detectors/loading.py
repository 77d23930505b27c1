"""Loads detectors by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from tracker.detectors.base import CalibratedDetector
from tracker.detectors.blazeface import BlazeFace
from tracker.detectors.mediapipe import MediaPipe
from tracker.detectors.yunet import YuNet
from tracker.errors import expect_choice

log = logging.getLogger(__name__)

DetectorName = Literal["auto", "yunet", "blazeface", "mediapipe"]
"""The choices of command lines: auto, and the names in DETECTORS."""
DETECTORS: Mapping[str, Callable[[Path | None], CalibratedDetector]] = {
    each.name: each for each in (YuNet, BlazeFace, MediaPipe)
}
"""Each takes the path of its model's file; None for the packaged one."""


def load_detector(name: DetectorName = "auto", model_path: Path | None = None) -> CalibratedDetector:
    """Load the detector of that name.

    Args:
        name: "auto" is YuNet, which finds more small faces; with a model_path, the one that reads it: BlazeFace for a
            .tflite file, otherwise YuNet.
        model_path: a file to use in place of the packaged one. For YuNet any such network, for example one that was
            trained again; for BlazeFace a copy of the packaged one, because its decoding fits no other.

    Raises:
        TrackerError: if the name is unknown, the file cannot be read, or a package is not installed.
    """
    expect_choice("detector", name, ["auto", *DETECTORS])
    if name == "auto":
        name = "blazeface" if model_path is not None and model_path.suffix == ".tflite" else "yunet"
        log.info("detector: %s%s", name, "" if model_path is None else f", which reads {model_path}")
    return DETECTORS[name](model_path)
