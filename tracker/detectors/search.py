"""Looking for faces at any roll and of any size: detectors and turned pictures that take turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from tracker.detectors.base import Array, CalibratedDetector, Detection, Image, resize
from tracker.face.geometry import compose, transform_points

LONGEST_PX = 640  # a picture that is turned is shrunk to this longer side before; detectors shrink it further
CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Turn(NamedTuple):
    """One search: the detector's place in the list, and by how many degrees the picture is turned clockwise before."""

    detector: int
    degrees: int


TURNS = {
    1: tuple(Turn(0, degrees) for degrees in (0, 90, 270, 180)),
    2: tuple(Turn(*each) for each in ((0, 0), (1, 0), (0, 90), (1, 180), (0, 270), (0, 180), (1, 90), (1, 270))),
}
"""By the number of detectors, the order of the searches. Each detector finds faces that are rolled by up to about 60
degrees surely, many that are rolled farther, and some of those that the other one misses."""


class Search:
    """Takes one turn at each call of next_turn, from the first one on after begin."""

    def __init__(self, detectors: Sequence[CalibratedDetector]) -> None:
        self.detectors = detectors
        self.turns = TURNS[len(detectors)]
        self._next = 0

    def begin(self) -> None:
        """Start with the first turn again."""
        self._next = 0

    @property
    def complete(self) -> bool:
        """Whether the first turn is due."""
        return self._next % len(self.turns) == 0

    def next_turn(self) -> Turn:
        """The turn that is due; the one after it is due the next time."""
        turn = self.turns[self._next % len(self.turns)]
        self._next += 1
        return turn

    def detect(self, image_rgb: Image, turn: Turn) -> list[Detection]:
        """What the turn's detector finds in the picture turned so, in pixels of the picture as it is."""
        detector = self.detectors[turn.detector]
        if turn.degrees == 0:
            return detector.detect(image_rgb)
        small, image_from_small = resize(image_rgb, min(1.0, LONGEST_PX / max(image_rgb.shape[:2])))
        turned = np.asarray(cv2.rotate(small, CODES[turn.degrees]), np.uint8)
        image_from_turned = compose(image_from_small, small_from_turned(turn.degrees, small.shape))
        found = [face for face in detector.detect(turned) if np.isfinite([*face.box_px, *face.eyes_px.ravel()]).all()]
        return [_moved(face, image_from_turned) for face in found]


def small_from_turned(degrees: int, shape: tuple[int, ...]) -> Array:
    """(2, 3) from a picture turned clockwise by 90, 180 or 270 degrees to itself, of shape (H, W, ...)."""
    right, bottom = shape[1] - 1, shape[0] - 1
    rows = {
        90: [[0, 1, 0], [-1, 0, bottom]],
        180: [[-1, 0, right], [0, -1, bottom]],
        270: [[0, -1, right], [1, 0, 0]],
    }
    return np.array(rows[degrees], np.float64)


def _moved(face: Detection, to: Array) -> Detection:
    """A detection under a transform that turns it by quarters of a circle."""
    corners = transform_points(to, [face.box_px[:2], face.box_px[:2] + face.box_px[2:]])
    low = corners.min(0)
    return Detection(np.concatenate([low, corners.max(0) - low]), face.score, transform_points(to, face.eyes_px))
