"""Where a video is cut to another scene: the picture changes as a whole, at once, in place and in colours.

In place alone a pan over fine patterns does as well (up to 39 of 255 in ../shared's crowds), in colours alone a turn of
the light (.27 in its webcam clips); cuts between pictures of people change at least 43 and .44.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 32, 4  # every so many are compared: few rows, as each is memory to fetch
CHANGE = 30.0  # mean difference, of 255, from which on two pictures may be of two scenes
RECOLOUR = 0.2  # and the share of the colours, counted twice, that changed

Image = NDArray[np.uint8]


class SceneCut:
    """Compares each picture with the one before."""

    def __init__(self) -> None:
        self._before: Image = np.zeros((0, 0, 3), np.uint8)

    def __call__(self, image_rgb: Image) -> bool:
        """Whether a picture (H, W, 3) shows another scene than the last one. The first shows one, too."""
        now = image_rgb[::ROWS, ::COLUMNS].copy()
        before, self._before = self._before, now
        if before.shape != now.shape:
            return True
        if cv2.norm(now, before, cv2.NORM_L1) <= CHANGE * now.size:
            return False
        return float(np.abs(_colours(now) - _colours(before)).sum()) > RECOLOUR


def _colours(image_rgb: Image) -> NDArray[np.float64]:
    """(3, 16) how the values of each channel are spread, in all 1."""
    counts = [np.bincount(image_rgb[..., channel].ravel() >> 4, minlength=16) for channel in range(3)]
    return np.stack(counts) / image_rgb.size
