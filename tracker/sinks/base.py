"""What every sink is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.clashes import STDOUT
from tracker.errors import TrackerError
from tracker.frames import Frame
from tracker.result import FrameResult

if TYPE_CHECKING:
    from typing_extensions import Self

Image = NDArray[np.uint8]


class Sink(Protocol):
    """Takes every frame with its result, in order."""

    def write(self, frame: Frame, result: FrameResult) -> None: ...

    def close(self) -> None: ...


class PictureSink(Protocol):
    """Takes drawn pictures, (H, W, 3) uint8 RGB, and when they were taken, in seconds."""

    def write(self, image_rgb: Image, timestamp_s: float) -> None: ...

    def close(self) -> None: ...


class Closing:
    """A context manager that closes."""

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def unwritable(path: str | Path, error: OSError) -> TrackerError:
    """The sentence for a file or folder that cannot be written."""
    name = "standard output" if path == STDOUT else path
    return TrackerError(f"{name} cannot be written ({error.strerror}): choose a writable folder with free space")
