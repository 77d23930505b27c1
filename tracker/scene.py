"""Where a video is cut to another scene: the picture changes as a whole, at once."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

STEP = 16  # of the pixels, every so many in x and y are compared
CHANGE = 30.0  # mean difference, of 255, from which on two pictures do not belong together


class SceneCut:
    """Compares each picture with the one before."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def __call__(self, image_rgb: NDArray[np.uint8]) -> bool:
        """Whether a picture (H, W, 3) shows another scene than the last one. The first shows one, too."""
        now = image_rgb[::STEP, ::STEP, 1].copy()
        before, self._before = self._before, now
        return before.shape != now.shape or cv2.norm(now, before, cv2.NORM_L1) > CHANGE * now.size
