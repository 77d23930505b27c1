"""What every sink is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.result import FrameResult
from tracker.sources import Frame
from tracker.system.files import hold, unwritable, write_whole

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


class Folder(Closing):
    """A folder that a sink writes many files into: made if it is not there, tried, and held so that no other run
    writes there meanwhile.

    inner: a folder in it that is made, too. Windows cannot open a folder: there two runs are not told apart.
    Raises TrackerError where nothing can be written, and while another run writes there.
    """

    def __init__(self, path: str | Path, inner: str = "") -> None:
        self.path = Path(path)
        self._descriptor = -1
        try:
            (self.path / inner).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path / inner).close()  # a trial, before any work is done
            self._hold()
        except OSError as error:
            raise unwritable(self.path / inner, error) from error

    def _hold(self) -> None:
        if os.name == "posix":
            self._descriptor = os.open(self.path, os.O_RDONLY)
            try:
                hold(self._descriptor, self.path)
            except BaseException:
                self.close()
                raise

    def write(self, name: str, content: bytes) -> None:
        """Write a new file whole or not at all. name: relative to the folder, with "/"; folders in it are made.

        Raises TrackerError where it cannot be written, and where it is there already.
        """
        path = os.path.join(self.path, name)
        try:
            if os.path.lexists(path):
                raise already_there(path)
            if "/" in name:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise unwritable(path, error) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def already_there(path: str | Path) -> TrackerError:
    """The sentence for a file that is not replaced, as it may be somebody's work."""
    return TrackerError(f"{path} is there already and is not replaced; empty the folder, or give another")
