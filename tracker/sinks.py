"""Where results go: lines of JSON; the drawn picture into a video and a window.

A Sink takes a frame and its result. Drawn is the sink that draws a frame once and hands the picture to every
PictureSink it holds. All are context managers; leaving one, or close(), completes what it wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.frames import Frame
from tracker.result import FrameResult

if TYPE_CHECKING:
    from typing_extensions import Self

Image = NDArray[np.uint8]

_VIDEOS = (".mp4", ".mov", ".avi", ".mkv")


class Sink(Protocol):
    """Takes every frame with its result, in order."""

    def write(self, frame: Frame, result: FrameResult) -> None: ...

    def close(self) -> None: ...


class PictureSink(Protocol):
    """Takes drawn pictures, (H, W, 3) uint8 RGB."""

    def write(self, image_rgb: Image) -> None: ...

    def close(self) -> None: ...


class _Closing:
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class JsonLines(_Closing):
    """One JSON object a frame, one frame a line; a line is in the file as soon as write returns.

    However the run ends, the file holds complete lines only. A file of that name is replaced at the start.
    Raises TrackerError when the file cannot be opened, and when a line cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            self._file = self._path.open("wb", buffering=0)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._complete_bytes = 0

    def write(self, frame: Frame, result: FrameResult) -> None:
        line = json.dumps(result.to_json(), separators=(",", ":"), allow_nan=False).encode() + b"\n"
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # a pipe or device cannot be cut back
                self._file.truncate(self._complete_bytes)
            raise _unwritable(self._path, error) from error
        self._complete_bytes += len(line)

    def close(self) -> None:
        self._file.close()


class Drawn(_Closing):
    """Draws each frame once and hands the picture to all outputs.

    draw: (image_rgb, result) to a new picture, as overlay.draw.
    """

    def __init__(self, draw: Callable[[Image, FrameResult], Image], outputs: Sequence[PictureSink]) -> None:
        self._draw = draw
        self._outputs = outputs

    def write(self, frame: Frame, result: FrameResult) -> None:
        image_rgb = self._draw(frame.image_rgb, result)
        for output in self._outputs:
            output.write(image_rgb)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # one that fails does not leave the others open
            for output in self._outputs:
                stack.callback(output.close)


class OverlayVideo(_Closing):
    """A video file (MPEG-4) of the size of the first picture; pictures of other sizes are fitted into it.

    The file appears under its name when close has completed it; until then it is NAME.part beside it. An odd
    width or height grows by one pixel, as the codec asks. Nothing appears when no picture was written.
    Raises TrackerError at once when such a file cannot be written there, and from close when it is
    incomplete.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        self._path = Path(path)
        if self._path.is_dir() or self._path.suffix.lower() not in _VIDEOS:
            raise TrackerError(f"{self._path}: expected the name of a video file ending in {', '.join(_VIDEOS)}")
        self._part = self._path.with_name(f".{self._path.stem}.part{os.getpid()}{self._path.suffix}")
        self._fps = round(fps, 3 if fps < 65 else 1)  # the codec counts time in at most 65535ths of a second
        self._size = (0, 0)
        try:
            self._part.touch()
            self._writer = self._open((64, 64))  # a trial, before any work is done
            self._writer.release()
            self._part.unlink()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def write(self, image_rgb: Image) -> None:
        image_rgb = _even(image_rgb)
        if not self._writer.isOpened():
            self._size = image_rgb.shape[1], image_rgb.shape[0]
            self._writer = self._open(self._size)
        self._writer.write(cv2.cvtColor(_fitted(image_rgb, self._size), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if not self._writer.isOpened():
            return
        self._writer.release()
        if not cv2.VideoCapture(str(self._part)).isOpened():
            self._part.unlink(missing_ok=True)
            raise TrackerError(f"{self._path} could not be completed: is the disk full?")
        try:
            os.replace(self._part, self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(self._part), codec, self._fps, size)
        if not writer.isOpened():
            self._part.unlink(missing_ok=True)
            raise TrackerError(
                f"this OpenCV cannot write {self._path} as MPEG-4 of {self._fps:g} frames a second: "
                "install opencv-python, or leave out --overlay"
            )
        return writer


def has_display() -> bool:
    """Whether there is a screen to show a window on, as far as the environment says."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window(_Closing):
    """Shows pictures in a window. closed turns true when its user presses q or Esc, or closes it.

    Raises TrackerError where there is no display or OpenCV was built without windows.
    """

    def __init__(self, title: str) -> None:
        if not has_display():  # asked before OpenCV, which would end the process
            raise TrackerError("there is no display to show a window on: leave out --show or use --overlay FILE.mp4")
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise TrackerError(
                "this OpenCV was built without windows: install opencv-python instead of "
                "opencv-python-headless, or leave out --show"
            ) from error
        self._title = title
        self.closed = False

    def write(self, image_rgb: Image) -> None:
        if self.closed:
            return
        cv2.imshow(self._title, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        self.closed = key in (ord("q"), 27) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        with contextlib.suppress(cv2.error):  # its user may have closed it
            cv2.destroyWindow(self._title)


def _unwritable(path: Path, error: OSError) -> TrackerError:
    return TrackerError(f"{path} cannot be written ({error.strerror}): choose a writable folder with free space")


def _even(image_rgb: Image) -> Image:
    """The picture with its last column and row repeated where their number is odd."""
    height, width = image_rgb.shape[:2]
    padded = cv2.copyMakeBorder(image_rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=np.uint8)


def _fitted(image_rgb: Image, size: tuple[int, int]) -> Image:
    """The picture as large as fits into (width, height), centred on black; itself where it fits exactly."""
    height, width = image_rgb.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    if (width, height) == size:
        return image_rgb
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[y : y + inner[1], x : x + inner[0]] = cv2.resize(image_rgb, inner, interpolation=method)
    return canvas
