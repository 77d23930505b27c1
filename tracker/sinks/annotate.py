"""Draws faces and their landmarks over a picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.face.landmarks import Landmarks
from tracker.result import FrameResult, TrackedFace
from tracker.sources.as_picture import as_picture

Image = NDArray[np.uint8]
Points = NDArray[np.float64]

_VISIBLE, _HIDDEN = np.array([45.0, 225, 200]), np.array([255.0, 176, 32])  # teal, amber
_LINE, _PLATE, _TEXT = (225, 255, 248), (12, 20, 28), (245, 250, 250)
_OPACITY = {"tracking": 1.0, "coasting": 0.55}
_SMALL = 90  # extent of a face in pixels, below which a label with the state would be wider than the face
_SHIFT = 4  # fractional bits of the coordinates that cv2 draws at: sixteenths of a pixel


def draw_faces(image_rgb: object, result: FrameResult) -> Image:
    """Draw every face over a copy of the picture.

    Boundary curves are thin lines. Points are dots from teal (visible) to amber (hidden), by their visibility or, if
    the model does not tell it, by their scores. The box is shown by its corners. A label has id, state and score (on a
    still picture, and for a small face that is tracked, id and score). All sizes scale with the face. A coasting face
    is drawn dimmer.

    Args:
        image_rgb: (H, W, 3) uint8 RGB, or another picture that tracker.sources.as_picture accepts.
        result: the faces, in pixels of the picture, pixel centres at integers.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TrackerError: image_rgb is not such a picture.
    """
    canvas = as_picture(image_rgb).copy()
    for face in result.faces:
        _draw_face(canvas, face, result.picture is not None or result.image_rgb is not None)
    return canvas


def draw_landmarks(image_rgb: object, landmarks: Landmarks) -> Image:
    """Draw the curves and points of one face over a copy of the picture, as draw_faces does, without box and label.

    Args:
        image_rgb: (H, W, 3) uint8 RGB, or another picture that tracker.sources.as_picture accepts.
        landmarks: in pixels of the picture, pixel centres at integers.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TrackerError: image_rgb is not such a picture.
    """
    canvas = as_picture(image_rgb).copy()
    view = _View.of(landmarks, canvas)
    if view is not None:
        view.draw_curves(landmarks, 1.0)
        with _ink(view.image, 0.95) as layer:
            _dots(layer, landmarks.points_px - view.corner, _shares(landmarks), view.size)
    return canvas


def _draw_face(canvas: Image, face: TrackedFace, still: bool) -> None:
    view = _View.of(face.landmarks, canvas)
    if view is None:
        return
    opacity = _OPACITY[face.state]
    view.draw_curves(face.landmarks, opacity)
    with _ink(view.image, 0.95 * opacity) as layer:
        _brackets(layer, view.low - view.corner, view.high - view.corner, view.size)
        _dots(layer, face.landmarks.points_px - view.corner, _shares(face.landmarks), view.size)
    told = face.state == "coasting" or not (still or view.size < _SMALL)
    _label(canvas, face, told, (view.low, view.high), view.size, opacity)


@dataclass(frozen=True, eq=False)
class _View:
    """The part of a canvas on which a face is drawn, so that the cost depends on the face and not on the picture.

    Attributes:
        image: that part, a NumPy view of the canvas.
        corner: (2,) its first pixel.
        low: (2,) upper left corner of the face's box, which is a little larger than the landmarks.
        high: (2,) lower right corner of that box.
        size: of the face, in pixels.
    """

    image: Image
    corner: Points
    low: Points
    high: Points
    size: float

    @classmethod
    def of(cls, landmarks: Landmarks, canvas: Image) -> _View | None:
        """Find the part of the canvas; None if the face is outside the canvas."""
        x, y, width, height = landmarks.extent_px
        size = float(np.clip(np.hypot(width, height) / np.sqrt(2), 8, max(canvas.shape)))
        low, high = np.array([x, y]) - 0.08 * size, np.array([x + width, y + height]) + 0.08 * size
        start = np.clip(np.floor(low - size / 8), 0, canvas.shape[1::-1]).astype(int)
        stop = np.clip(np.ceil(high + size / 8), 0, canvas.shape[1::-1]).astype(int)
        if (stop <= start).any():
            return None
        return cls(canvas[start[1] : stop[1], start[0] : stop[0]], start, low, high, size)

    def draw_curves(self, landmarks: Landmarks, opacity: float) -> None:
        """Draw the boundary curves of the scheme."""
        points = landmarks.points_px - self.corner
        with _ink(self.image, 0.55 * opacity) as layer:
            for curve in landmarks.scheme.curves:
                _line(layer, points[list(curve.indices)], self.size, curve.closed)


@contextmanager
def _ink(canvas: Image, opacity: float) -> Iterator[Image]:
    """Yield a layer to draw on, which is then blended over the canvas with that opacity."""
    layer = canvas.copy()
    yield layer
    cv2.addWeighted(layer, opacity, canvas, 1 - opacity, 0, dst=canvas)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Convert pixels to cv2's fixed-point numbers, limited so that they cannot overflow."""
    return np.asarray(np.round(np.clip(points, -1e6, 1e6) * (1 << _SHIFT)), dtype=np.int32)


def _line(layer: Image, points: Points, size: float, closed: bool = False) -> None:
    thickness = max(1, round(size / 220))
    cv2.polylines(layer, [_fixed(points)], closed, _LINE, thickness, cv2.LINE_AA, _SHIFT)


def _shares(landmarks: Landmarks) -> Points:
    """(K,) how much of a point's colour is that of a visible one."""
    return landmarks.scores if landmarks.visibility is None else landmarks.visibility


def _dots(layer: Image, points: Points, shares: Points, size: float) -> None:
    radius = int(_fixed(np.array(max(0.6, 0.0095 * size))))  # small enough not to cover a small face
    colours = _HIDDEN + (_VISIBLE - _HIDDEN) * shares[:, None]
    for centre, colour in zip(_fixed(points).tolist(), colours.tolist(), strict=True):
        cv2.circle(layer, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _brackets(layer: Image, low: Points, high: Points, size: float) -> None:
    """Draw the four corners of a box, with lines of an eighth of the face's size."""
    for corner in ((0, 0), (1, 0), (1, 1), (0, 1)):
        at = np.where(corner, high, low)
        inwards = np.where(corner, -1, 1) * size / 8
        _line(layer, np.array([at + (0, inwards[1]), at, at + (inwards[0], 0)]), size * 1.5)


def _label(
    canvas: Image, face: TrackedFace, with_state: bool, box: tuple[Points, Points], size: float, opacity: float
) -> None:
    """Draw a label above the box, or below it if there is no room, always inside the picture.

    There is no label if the picture is too small to read it. The label of a small tracked face omits the state, so
    that it does not cover the labels of other faces; on a still picture nothing is tracked.
    """
    low, high = box
    state = f"  {face.state}" if with_state else ""
    text, font = f"{face.id}{state}  {face.score:.2f}", cv2.FONT_HERSHEY_SIMPLEX
    frame = np.array(canvas.shape[1::-1])
    scale = min(max(size / 420, 0.36), 0.75 * frame[0] / cv2.getTextSize(text, font, 1.0, 1)[0][0])
    thickness = max(1, round(1.5 * scale))
    (wide, tall), _ = cv2.getTextSize(text, font, scale, thickness)
    plate = np.array([wide + 18 * tall // 5, 12 * tall // 5])
    if scale < 0.2 or (plate > frame).any():
        return
    above, below = low[1] - plate[1] - tall / 2, high[1] + tall / 2
    x, y = np.clip([low[0], above if above >= 0 else below], 0, np.maximum(frame - plate, 0)).astype(int)
    view = canvas[y : y + plate[1], x : x + plate[0]]
    middle = (plate[1] - 1) / 2
    with _ink(view, 0.62 * opacity) as layer:  # a thick line, because its ends are round
        ends = _fixed(np.array([[middle, middle], [plate[0] - 1 - middle, middle]]))
        cv2.polylines(layer, [ends], False, _PLATE, int(plate[1]), cv2.LINE_AA, _SHIFT)
    with _ink(view, opacity) as layer:
        _dots(layer, np.array([[1.4 * tall, middle]]), np.array([face.score]), 35.0 * tall)
        baseline = (int(2.4 * tall), round(middle + tall / 2))
        cv2.putText(layer, text, baseline, font, scale, _TEXT, thickness, cv2.LINE_AA)
