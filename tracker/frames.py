"""Where frames come from: a camera, a video file or stream, a folder of pictures.

The only clock of the tracker is read here; everything after takes time as an argument.
"""

from __future__ import annotations

import logging
import os
import re
import time
from abc import abstractmethod
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet; OpenCV looks when it first opens a video

FALLBACK_FPS = 30.0
MOST_CAMERAS = 99
_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
_PICTURES = {
    ".bmp",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
}


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken.

    image_rgb: (H, W, 3) uint8. timestamp_s: seconds since the source's first frame. index: from 0.
    Raises TrackerError for a picture of another kind.
    """

    image_rgb: NDArray[np.uint8]
    timestamp_s: float
    index: int

    def __post_init__(self) -> None:
        image = self.image_rgb
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise TrackerError(
                f"a frame's picture must be RGB of shape (height, width, 3) and type uint8, got {image.shape} of "
                f"{image.dtype}: tracker.frames.as_rgb converts what OpenCV reads"
            )


class Source(Iterator[Frame]):
    """An iterator of frames and a context manager; leaving it, or close(), frees the device or file.

    name: for messages. frame_count: how many frames to expect, None where nobody knows.
    fps: frames a second, None where nobody knows. live: frames that are not fetched in time are gone.
    """

    def __init__(self, name: str, frame_count: int | None, fps: float | None, live: bool = False) -> None:
        self.name = name
        self.frame_count = frame_count
        self.fps = fps
        self.live = live
        self._frames = self._read()

    @abstractmethod
    def _read(self) -> Generator[Frame, None, None]: ...

    def close(self) -> None:
        self._frames.close()

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture as OpenCV delivers it, as (H, W, 3) uint8 RGB: always a new array.

    image: (H, W), (H, W, 1) grey, (H, W, 3) BGR or (H, W, 4) BGRA (alpha is dropped), uint8, or uint16 over
    its full range. Raises TrackerError for anything else.
    """
    channels = {2: 1, 3: image.shape[-1]}.get(image.ndim, 0)
    if channels not in _TO_RGB or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
        raise TrackerError(
            f"a picture must be (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of uint8 or uint16, "
            f"got {image.shape} of {image.dtype}: convert it first"
        )
    image = np.ascontiguousarray(image)
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    return np.ascontiguousarray(cv2.cvtColor(image, _TO_RGB[channels]), dtype=np.uint8)


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV says nothing on stderr: what matters is said by this file, once."""
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, OpenCV 5
    before = set_level(0)
    try:
        yield
    finally:
        set_level(before)


class _Capture(Source):
    """What a camera and a video have in common: cv2.VideoCapture."""

    def __init__(self, target: int | str, name: str, live: bool, cannot_open: str) -> None:
        with _quiet():
            self._capture = cv2.VideoCapture(target)
        if not self._capture.isOpened():
            raise TrackerError(cannot_open)
        fps, count = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        sound = 0 < fps < 1000  # 1000: a container without a rate, counting in milliseconds
        super().__init__(name, int(count) if sound and count > 0 and not live else None, fps if sound else None, live)

    def close(self) -> None:
        super().close()
        self._capture.release()

    def _grab(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Seconds since the first grab, by the monotonic clock at the grab, and the picture."""
        first_s = None
        while self._capture.grab():
            grabbed_s = time.monotonic()
            first_s = grabbed_s if first_s is None else first_s
            decoded, image = self._capture.retrieve()
            if not decoded:
                return
            yield grabbed_s - first_s, as_rgb(image)

    def _read(self) -> Generator[Frame, None, None]:
        count = 0
        for elapsed_s, image_rgb in self._grab():
            yield Frame(image_rgb, elapsed_s if self.live else count / (self.fps or FALLBACK_FPS), count)
            count += 1
        self._report_end(count)

    @abstractmethod
    def _report_end(self, count: int) -> None:
        """Say what is wrong when no more frames come after count of them."""


class Camera(_Capture):
    """A camera by its number. Timestamps: the monotonic clock at the grab, 0 at the first frame.

    Raises TrackerError when it cannot be opened, and when it delivers no first picture.
    """

    def __init__(self, index: int) -> None:
        if not 0 <= index <= MOST_CAMERAS:  # OpenCV takes others for something else, or crashes
            raise TrackerError(f"camera {index} does not exist: cameras are numbered from 0 to {MOST_CAMERAS}")
        advice = "check that it is connected and not used by another program, or try another number"
        super().__init__(index, f"camera {index}", True, f"camera {index} could not be opened: {advice}")

    def _report_end(self, count: int) -> None:
        if count == 0:
            raise TrackerError(f"{self.name} was opened but delivers no picture: does another program use it?")
        log.warning("%s stopped delivering pictures after %d", self.name, count)


class Video(_Capture):
    """A video file, or a stream by its URL (rtsp://, http://, ...).

    A file loses no frame; its timestamps are frame number / fps, at 30 fps where the file does not say.
    A stream is live; its timestamps are the monotonic clock at the grab, 0 at the first frame.
    A file that ends before the number of frames it announces is read as far as it goes, with a warning.
    Raises TrackerError when there is no such file, or it is not a video, or nothing in it can be decoded.
    """

    def __init__(self, path_or_url: str | Path) -> None:
        target = os.fspath(path_or_url)
        live = "://" in target
        name = re.sub(r"//[^@/]*@", "//", target) if live else target  # a password stays out of messages
        if not live and not os.path.isfile(target):
            what = "is a folder: use --images for pictures" if os.path.isdir(target) else "does not exist"
            raise TrackerError(f"expected a video file, but {name} {what}")
        advice = "is it running and reachable?" if live else "expected a complete MP4, AVI, MKV, MOV or WebM"
        super().__init__(target, name, live, f"{name} could not be opened as a video: {advice}")
        if not live and self.fps is None:
            log.warning("%s does not state its frame rate; assuming %g a second", name, FALLBACK_FPS)
            self.fps = FALLBACK_FPS

    def _report_end(self, count: int) -> None:
        if count == 0:
            raise TrackerError(f"no picture could be decoded from {self.name}: is it damaged, or only sound?")
        if self.live:
            log.warning("%s ended after %d frames", self.name, count)
        elif self.frame_count is not None and count < self.frame_count:
            log.warning("%s is cut short: read %d of %d frames", self.name, count, self.frame_count)


class Folder(Source):
    """The pictures of a folder (not of its subfolders), 2.jpg before 10.jpg, as still pictures 1 s apart.

    paths: the picture files in order; a frame's index is its place in it, its timestamp the index in
    seconds. EXIF orientation is applied. A file that cannot be decoded is skipped with a warning and
    counted in skipped. Raises TrackerError when there is no such folder, no picture in it, or none that
    can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        folder = Path(path)
        try:
            files = [p for p in folder.iterdir() if p.suffix.lower() in _PICTURES and p.name[0] != "."]
        except OSError as error:
            raise TrackerError(f"expected a folder of pictures, but {folder}: {error.strerror}") from error
        if not files:
            raise TrackerError(f"{folder} holds no pictures: expected files such as .jpg, .png, .bmp or .tif")
        self.paths = tuple(sorted(files, key=_natural))
        self.skipped = 0
        super().__init__(str(folder), len(files), 1.0)

    def _read(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self.paths):
            image_rgb = read_picture(path)
            if image_rgb is None:
                self.skipped += 1
                log.warning("%s cannot be decoded as a picture; skipped", path)
            else:
                yield Frame(image_rgb, float(index), index)
        if self.skipped == len(self.paths):
            raise TrackerError(f"none of the {self.skipped} pictures in {self.name} could be decoded")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key: runs of digits by their value, everything else as text without case."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)]


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """The picture in a file, (H, W, 3) RGB, None where there is none. Not cv2.imread: it fails on ü on Windows."""
    try:
        with _quiet():
            image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if image is None else as_rgb(image)


def open_source(source: Path | str | int) -> Source:
    """The camera of that number, the folder of pictures, or the video file or stream.

    Raises TrackerError when it cannot be opened.
    """
    if isinstance(source, int):
        return Camera(source)
    return Folder(source) if os.path.isdir(source) else Video(source)
