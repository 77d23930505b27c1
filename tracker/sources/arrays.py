"""Arrays: frames that an application holds or makes itself."""

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
    """Pictures out of memory: a list of arrays, one array (N, H, W, 3), or a generator; none is dropped.

    images_rgb: each (H, W, 3) uint8 RGB, of any size, or what else as_picture takes. Times: at fps frames a second, or
    each picture's own out of timestamps_s, one for each, counted from the first; those that repeat or run back are
    mended (Timeline). still: each is a picture by itself and no frame of a video; faces are looked for afresh.
    Raises TrackerError for an fps that is not positive, for a picture of another kind, and where there are fewer
    timestamps than pictures.
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
