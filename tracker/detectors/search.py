"""Searches faces at any roll and of any size: alternates detectors and rotations of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from tracker.detectors.base import Array, CalibratedDetector, Detection, Image, resize
from tracker.face.geometry import compose, transform_points

LONGEST_PX = 640  # the longer side of a picture before it is rotated; detectors shrink it further
CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Turn(NamedTuple):
    """One step of the search.

    Attributes:
        detector: its index in the list of detectors.
        degrees: by how many the picture is rotated clockwise before.
    """

    detector: int
    degrees: int


TURNS = {
    1: tuple(Turn(0, degrees) for degrees in (0, 90, 270, 180)),
    2: tuple(Turn(*each) for each in ((0, 0), (1, 0), (0, 90), (1, 180), (0, 270), (0, 180), (1, 90), (1, 270))),
}
"""The order of the steps, by the number of detectors. Each detector reliably finds faces that are rolled by up to about
60 degrees, many that are rolled farther, and some that the other one misses."""


OTHERS = 2
"""After so many other turns the first one is repeated, because it finds most faces."""


class Search:
    """Gives the next turn at each call of next_turn, starting with the first one after begin.

    Args:
        detectors: one or two.
    """

    def __init__(self, detectors: Sequence[CalibratedDetector]) -> None:
        self.detectors = detectors
        self.turns = TURNS[len(detectors)]
        self.begin()

    def begin(self) -> None:
        """Restart with the first turn."""
        self._next = self._others = 0

    @property
    def first_is_due(self) -> bool:
        """Whether the next turn is a repetition of the first one."""
        return self._others >= OTHERS

    @property
    def complete(self) -> bool:
        """Whether every turn has been taken since begin, or since the last complete round."""
        return self._next % len(self.turns) == 0

    def next_turn(self, in_order: bool = False) -> Turn:
        """Return the next turn.

        Args:
            in_order: without repetitions of the first one.
        """
        if self.first_is_due and not in_order and not self.complete:
            self._others = 0
            return self.turns[0]
        turn = self.turns[self._next % len(self.turns)]
        self._next += 1
        self._others = 0 if turn == self.turns[0] else self._others + 1
        return turn

    def skip(self) -> None:
        """Count a frame in which no turn is taken; it brings the next repetition of the first turn forward."""
        self._others += 1

    def detect(self, image_rgb: Image, turn: Turn) -> list[Detection]:
        """Run the detector of a turn on the rotated picture.

        Args:
            image_rgb: (H, W, 3).
            turn: detector and rotation.

        Returns:
            The faces, in pixels of the picture as it is given.
        """
        detector = self.detectors[turn.detector]
        if turn.degrees == 0:
            return detector.detect(image_rgb)
        small, image_from_small = resize(image_rgb, min(1.0, LONGEST_PX / max(image_rgb.shape[:2])))
        turned = np.asarray(cv2.rotate(small, CODES[turn.degrees]), np.uint8)
        image_from_turned = compose(image_from_small, small_from_turned(turn.degrees, small.shape))
        found = [face for face in detector.detect(turned) if np.isfinite([*face.box_px, *face.eyes_px.ravel()]).all()]
        return [_moved(face, image_from_turned) for face in found]


def small_from_turned(degrees: int, shape: tuple[int, ...]) -> Array:
    """Return the transform (2, 3) from a picture that was rotated clockwise to the original one.

    Args:
        degrees: 90, 180 or 270.
        shape: (H, W, ...) of the original picture.
    """
    right, bottom = shape[1] - 1, shape[0] - 1
    rows = {
        90: [[0, 1, 0], [-1, 0, bottom]],
        180: [[-1, 0, right], [0, -1, bottom]],
        270: [[0, -1, right], [1, 0, 0]],
    }
    return np.array(rows[degrees], np.float64)


def _moved(face: Detection, to: Array) -> Detection:
    """Transform a detection; the transform rotates by quarter turns."""
    corners = transform_points(to, [face.box_px[:2], face.box_px[:2] + face.box_px[2:]])
    low = corners.min(0)
    return Detection(np.concatenate([low, corners.max(0) - low]), face.score, transform_points(to, face.eyes_px))
