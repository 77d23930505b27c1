"""The protocols of sinks, and what several sinks share."""

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
    """An output for results. It is given every frame with its result, in order."""

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write the result of the next frame.

        Args:
            frame: the frame.
            result: what the tracker found in it, in pixels of the frame.

        Raises:
            TrackerError: it cannot be written.
        """
        ...

    def close(self) -> None:
        """Complete the output and release it; a second call does nothing.

        Raises:
            TrackerError: it cannot be completed.
        """
        ...


class PictureSink(Protocol):
    """An output for annotated pictures."""

    def write(self, image_rgb: Image, timestamp_s: float) -> None:
        """Write the next picture.

        Args:
            image_rgb: (H, W, 3) uint8 RGB.
            timestamp_s: time of its frame in seconds.

        Raises:
            TrackerError: it cannot be written.
        """
        ...

    def close(self) -> None:
        """Complete the output and release it; a second call does nothing.

        Raises:
            TrackerError: it cannot be completed.
        """
        ...


class Closing:
    """A context manager that calls close() at its end."""

    def close(self) -> None:
        """Complete the output and release it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Folder(Closing):
    """A folder into which a sink writes many files.

    It is made if it does not exist, and locked so that no other run writes into it (on Windows, where a folder cannot
    be opened, there is no lock).

    Args:
        path: the folder.
        inner: a folder inside it that is made as well.

    Attributes:
        path: the folder.

    Raises:
        TrackerError: nothing can be written there, or another run is writing there.
    """

    def __init__(self, path: str | Path, inner: str = "") -> None:
        self.path = Path(path)
        self._descriptor = -1
        try:
            (self.path / inner).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path / inner).close()  # fails now rather than after the first frame
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
        """Write a new file, completely or not at all.

        Args:
            name: relative to the folder, with "/"; folders in it are made.
            content: of the file.

        Raises:
            TrackerError: the file cannot be written, or exists already.
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
        """Unlock the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def already_there(path: str | Path) -> TrackerError:
    """Make the error for an existing file that is not replaced because it may be the user's work.

    Args:
        path: of the file.

    Returns:
        The error, to be raised.
    """
    return TrackerError(f"{path} exists already and is not replaced; empty the folder, or name another one")
