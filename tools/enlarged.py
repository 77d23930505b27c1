"""Enlarges a part of a picture and draws a grid in the picture's pixels, to read coordinates."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68

LONGEST_PX = 900  # of an enlarged part
MARGIN_PX = 44  # for the numbers of the grid
COLOURS = ((80, 255, 80), (255, 200, 0), (0, 200, 255), (255, 120, 255))


def enlarge(image_rgb: NDArray[np.uint8], box: Array, placed: Mapping[int, Array]) -> NDArray[np.uint8]:
    """Return the part of the picture in a box (4,), with a numbered grid and the given points (2,) by their index."""
    scale = LONGEST_PX / (box[2:] - box[:2]).max()
    width, height = (int(side) + 2 * MARGIN_PX for side in (box[2:] - box[:2]) * scale)
    shift = MARGIN_PX - box[:2] * scale
    view_from_image = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    raw = cv2.warpAffine(image_rgb, view_from_image, (width, height), flags=cv2.INTER_CUBIC)
    low, high = np.percentile(raw[raw.any(2)] if raw.any() else raw, (1, 99))
    view: NDArray[np.uint8] = np.clip((raw - low) * (255 / max(high - low, 1.0)), 0, 255).astype(np.uint8)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**6) if step * scale > 32)
    grid = view.copy()
    for axis in (0, 1):
        for value in range(int(np.ceil(box[axis] / step)) * step, int(box[axis + 2]) + 1, step):
            at, text = round(float(value * scale + shift[axis])), str(value)
            start, end = ((at, 0), (at, height)) if axis == 0 else ((0, at), (width, at))
            cv2.line(grid, start, end, (255, 255, 0) if value % (5 * step) == 0 else (150, 200, 255), 1)
            for place in ((at - 12, 12), (at - 12, height - 5)) if axis == 0 else ((2, at + 4), (width - 32, at + 4)):
                put_text(view, text, place, (255, 255, 255))
    inside = (slice(18, height - 18), slice(34, width - 34))
    view[inside] = cv2.addWeighted(view, 0.68, grid, 0.32, 0)[inside]
    for curve in IBUG68.curves:
        colour = COLOURS[IBUG68.curves.index(curve) % len(COLOURS)]
        for i in curve.indices:
            if i in placed:
                x, y = (placed[i] * scale + shift).round().astype(int).tolist()
                cv2.circle(view, (x, y), 4, colour, 1, cv2.LINE_AA)
                cv2.circle(view, (x, y), 0, colour, -1)
                put_text(view, str(i), (x + 6, y - 4), colour)
    return view


def put_text(view: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Write a number with a dark rim, so that it can be read on any skin."""
    for ink, width in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(view, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, width, cv2.LINE_AA)
