"""Rotates and mirrors frames, for a camera that is mounted on its side, upside down, or behind a mirror."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from tracker.errors import TrackerError
from tracker.sources.frame import Frame

Rotation = Literal[0, 90, 180, 270]
_CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def rotate_frame(frame: Frame, rotate: Rotation = 0, mirror: bool = False) -> Frame:
    """Rotate a frame clockwise, then mirror it left to right.

    Args:
        frame: in CPU memory.
        rotate: degrees clockwise.
        mirror: whether to mirror after rotating.

    Returns:
        The frame; the same object if neither is asked for. Results are in pixels of the rotated picture.

    Raises:
        TrackerError: for another angle, and for a frame on the GPU.
    """
    if rotate not in (0, *_CODES):
        raise TrackerError(f"rotate must be 0, 90, 180 or 270 degrees, got {rotate}")
    if rotate == 0 and not mirror:
        return frame
    if frame.gpu is not None:
        raise TrackerError("a frame on the GPU cannot be turned; let its decoder turn it, or copy it to the host")
    image = cv2.rotate(frame.image_rgb, _CODES[rotate]) if rotate else frame.image_rgb
    return replace(frame, image_rgb=np.asarray(cv2.flip(image, 1) if mirror else image, np.uint8), path=None)
