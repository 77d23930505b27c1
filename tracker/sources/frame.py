"""Frame, one picture with its time; and conversion of pictures as OpenCV reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.gpu_frame import GpuFrame
from tracker.sources.as_picture import kind_of

WIDEST_PIXEL = 4.0  # cameras and discs have up to 2
_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken.

    Args:
        image_rgb: (H, W, 3) uint8.
        timestamp_s: seconds since the source's first frame.
        index: from 0.
        gpu: the same picture in GPU memory. Landmarks are then measured there and are in its pixels; image_rgb, which
            the detector uses, may be a smaller copy.
        pixel_aspect: displayed width of a pixel over its height; 1 for square pixels. Faces are found in a copy with
            square pixels, see squared; results are in pixels of image_rgb.
        still: an independent picture, not a frame of a video: no face is tracked to it or from it.
        name: of such a picture, unique in its run.
        path: of the file that shows the same picture, if there is one.

    Raises:
        TrackerError: for a picture of another kind, or a pixel_aspect outside 1/4 .. 4.
    """

    image_rgb: NDArray[np.uint8]
    timestamp_s: float
    index: int
    gpu: GpuFrame | None = None
    pixel_aspect: float = 1.0
    still: bool = False
    name: str | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        image = self.image_rgb
        if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
            got = kind_of(image)
            if isinstance(image, np.ndarray):
                got = (
                    f"{image.shape} of {image.dtype}: tracker.sources.as_rgb converts what OpenCV reads, "
                    "tracker.sources.as_picture other pictures"
                )
            raise TrackerError(
                f"a frame's picture must be an RGB array of shape (height, width, 3) and type uint8, got {got}"
            )
        if image.size == 0:
            raise TrackerError(f"a frame's picture must be RGB with at least one pixel, got {image.shape}")

        if not 1 / WIDEST_PIXEL <= self.pixel_aspect <= WIDEST_PIXEL:
            raise TrackerError(
                f"a frame's pixel_aspect must be in 1/{WIDEST_PIXEL:g} .. {WIDEST_PIXEL:g}, got {self.pixel_aspect}"
            )

    @property
    def square_scale(self) -> tuple[float, float]:
        """Factors (x, y) from this frame to the one with square pixels; both are at least 1.

        The size of the result is a whole number of pixels.
        """
        height, width = self.image_rgb.shape[:2]
        x, y = max(self.pixel_aspect, 1.0), max(1 / self.pixel_aspect, 1.0)
        return round(width * x) / width, round(height * y) / height

    def squared(self) -> Frame:
        """Return the frame resized to square pixels; itself if they are square already."""
        if self.pixel_aspect == 1:
            return self
        x, y = self.square_scale
        height, width = self.image_rgb.shape[:2]
        image = cv2.resize(self.image_rgb, (round(width * x), round(height * y)), interpolation=cv2.INTER_LINEAR)
        return replace(self, image_rgb=np.asarray(image, dtype=np.uint8), gpu=None, pixel_aspect=1.0)

    def __repr__(self) -> str:
        height, width = self.image_rgb.shape[:2]
        name = "" if self.name is None else f"{self.name!r}, "
        return f"Frame({name}index {self.index}, {self.timestamp_s:.3f} s, {width} x {height})"


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert a picture as OpenCV reads it to RGB.

    Args:
        image: (H, W) or (H, W, 1) grey, (H, W, 3) BGR or (H, W, 4) BGRA, whose alpha is dropped; uint8, or uint16 over
            its full range.

    Returns:
        (H, W, 3) uint8 RGB, always a new array.

    Raises:
        TrackerError: for anything else.
    """
    if not isinstance(image, np.ndarray):
        raise TrackerError(f"as_rgb expected a picture as OpenCV reads it, an array, got {kind_of(image)}")
    channels = {2: 1, 3: image.shape[-1] if image.shape else 0}.get(image.ndim, 0)
    if channels not in _TO_RGB or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
        raise TrackerError(
            f"a picture must be (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of uint8 or uint16, "
            f"got {image.shape} of {image.dtype}: convert it first"
        )
    image = np.ascontiguousarray(image)
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    return np.ascontiguousarray(cv2.cvtColor(image, _TO_RGB[channels]), dtype=np.uint8)
