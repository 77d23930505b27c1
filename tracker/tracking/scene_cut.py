"""Cuts of the scene: the picture changes as a whole, at once, in place and in its colours.

A pan over a fine pattern changes it in place as well (up to 39 of 255 in measured clips), and a change of the light in
its colours (0.27); cuts between pictures of people changed at least 43 and 0.44.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.tracking.config import TrackerConfig

ROW_STEP, COLUMN_STEP = 32, 4  # of the compared pixels; few rows, because each costs a memory access

Image = NDArray[np.uint8]


class SceneCutDetector:
    """Compares each picture with the one before.

    Args:
        config: the thresholds.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self._before: Image = np.zeros((0, 0, 3), np.uint8)

    def is_cut(self, image_rgb: Image) -> bool:
        """Whether a picture (H, W, 3) shows another scene than the last one. True for the first."""
        now = image_rgb[::ROW_STEP, ::COLUMN_STEP].copy()
        before, self._before = self._before, now
        if before.shape != now.shape:
            return True
        if cv2.norm(now, before, cv2.NORM_L1) <= self.config.cut_difference * now.size:
            return False
        return float(np.abs(_histograms(now) - _histograms(before)).sum()) > self.config.cut_colour_difference


def _histograms(image_rgb: Image) -> NDArray[np.float64]:
    """Return the histogram of each channel, (3, 16), in all 1."""
    counts = [np.bincount(image_rgb[..., channel].ravel() >> 4, minlength=16) for channel in range(3)]
    return np.stack(counts) / image_rgb.size
