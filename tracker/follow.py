"""Which faces are taken first, where there are more of them than are followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from tracker.detectors import Detection
from tracker.errors import expect_choice
from tracker.face.geometry import Array

Follow = Literal["largest", "central", "confident"]
Worth = Callable[[Detection, Array], float]
"""Of a detection in a picture of that size (2,) width, height: the larger, the earlier the face is taken."""

FAR_MORE = 4.0  # times the worth of a face that is followed, with which another one takes its place
NEAR = 0.1  # distances from the middle below this part of the picture's longer side hardly differ


def _area(face: Detection, size_px: Array) -> float:
    return float(face.box_px[2] * face.box_px[3])


def _nearness(face: Detection, size_px: Array) -> float:
    """1 / (d^2 + r^2): four times as much is at most half the distance d from the middle of the picture."""
    away = face.box_px[:2] + face.box_px[2:] / 2 - (size_px - 1) / 2
    return 1 / float(away @ away + (NEAR * size_px.max()) ** 2)


def _score(face: Detection, size_px: Array) -> float:
    return face.score


WORTH: Mapping[Follow, Worth] = {"largest": _area, "central": _nearness, "confident": _score}


def worth_of(follow: Follow) -> Worth:
    """How detections are rated by that option. Raises TrackerError for an unknown one."""
    expect_choice("follow", follow, WORTH)
    return WORTH[follow]


def rated(detections: list[Detection], worth: Worth, shape: tuple[int, ...]) -> list[tuple[float, Detection]]:
    """The detections in a picture of that shape (H, W, ...) and their worth, the first to take first."""
    size_px = np.array([shape[1], shape[0]], np.float64)
    return sorted(((worth(face, size_px), face) for face in detections), key=lambda pair: -pair[0])
