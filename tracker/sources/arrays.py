"""Frames that an application holds in memory or makes itself."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence, Sized

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.sources.as_picture import as_picture
from tracker.sources.base import Source, Timeline
from tracker.sources.frame import Frame


class ArraySource(Source):
    """Pictures from memory; none is dropped.

    Args:
        images_rgb: a list, an array (N, H, W, 3) or a generator of pictures, each (H, W, 3) uint8 RGB of any size, or
            whatever else as_picture takes.
        fps: frames per second.
        timestamps_s: the time of each picture in seconds, counted from the first, in place of fps. Times that repeat
            or decrease are corrected, see Timeline.
        still: each picture is independent and not a frame of a video: the detector runs on every one.

    Raises:
        TrackerError: if fps is not positive, if a picture is of another kind, or if there are fewer timestamps than
            pictures.
    """

    def __init__(
        self,
        images_rgb: Iterable[NDArray[np.uint8]],
        fps: float = 30.0,
        timestamps_s: Sequence[float] | None = None,
        still: bool = False,
    ) -> None:
        if not 0 < fps < math.inf:
            raise TrackerError(f"fps must be a positive number, got {fps}")
        if isinstance(images_rgb, np.ndarray) and images_rgb.ndim != 4:
            raise TrackerError(
                f"expected several pictures (N, H, W, 3), got an array of shape {images_rgb.shape}; put a single "
                "picture into a list"
            )
        self._images = images_rgb
        self._still = still
        self._timestamps_s = timestamps_s
        super().__init__("the arrays", len(images_rgb) if isinstance(images_rgb, Sized) else None, fps)

    def _read(self) -> Generator[Frame, None, None]:
        timeline = Timeline(self.name, 1 / (self.fps or 1))
        for index, image_rgb in enumerate(self._images):
            if self._timestamps_s is None:
                time_s = index / (self.fps or 1)
            elif index < len(self._timestamps_s):
                time_s = timeline(self._timestamps_s[index])
            else:
                raise TrackerError(f"expected a timestamp for each picture, got {index} for more pictures")
            yield Frame(as_picture(image_rgb), time_s, index, still=self._still)
