"""Drawn pictures as a video file."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from tracker.errors import TrackerError
from tracker.sinks.base import Closing, Image
from tracker.sinks.h264 import H264Pipe, h264_options
from tracker.sinks.sound import add_sound
from tracker.sources.base import Timeline
from tracker.sources.file_names import openable
from tracker.system.ffmpeg import find_ffmpeg
from tracker.system.files import Replacement, replace, unwritable
from tracker.system.opencv_log import quiet

log = logging.getLogger(__name__)

SPARE_BYTES = 16 << 20
"""What is left free on the disk: the codec needs room to complete its file and does not say when there is none."""

LONGEST_GAP_S = 10.0
"""A longer pause is shortened to this, except beside a file's sound in H.264, where it costs nothing."""

LONGEST_PICTURE_S = 12 * 3600.0
"""MP4 cannot show one picture for longer than 13 h."""

MOST_FPS = 240.0
"""Of MPEG-4, whose rate is constant: a pause is filled with so many pictures a second at most."""

_VIDEOS = (".mp4", ".mov", ".avi", ".mkv")


class OverlayVideo(Closing):
    """A video file of the size of the first picture; pictures of other sizes are fitted into it.

    Where there is an ffmpeg that encodes it (tracker.sinks.h264) it is H.264, which browsers play, with every picture
    at its own time. Else, and in an AVI, it is MPEG-4 by OpenCV at a constant rate: a picture is repeated until the
    next is due, and left out where they come faster than that rate.

    path: appears when close has completed it; until then it is a hidden file beside it. An odd width or height grows
    by one pixel, as the codecs ask. Nothing appears when no picture was written.
    fps: pictures a second, of MPEG-4 at most MOST_FPS; of H.264 only the last picture's duration.
    sound_of: a video file whose times the pictures keep and whose sound is copied by ffmpeg; without ffmpeg the video
    is silent, with a warning.

    Raises TrackerError at once when such a file cannot be written there or another run is writing it, also from write
    when the disk is all but full (close then completes what was written), and from close when the file is incomplete.
    """

    def __init__(self, path: str | Path, fps: float, sound_of: str | Path | None = None) -> None:
        self._path = Path(path)
        suffix = self._path.suffix.lower()
        if os.path.isdir(self._path) or not is_video_name(self._path):
            raise TrackerError(f"{self._path}: expected the name of a video file ending in {', '.join(_VIDEOS)}")
        self._fps = fps
        self._sound_of = sound_of
        self._clock = Timeline(str(path), 1 / fps)
        self._last_s: float | None = None  # by the clock, and of the last picture in the video
        self._time_s = 0.0
        self._size = (0, 0)
        self._count = 0
        self._shortened = self._failed = False
        self._writer: H264Pipe | ConstantRate | None = None
        self._program = find_ffmpeg() if suffix != ".avi" else None
        self._options = h264_options(self._program) if self._program else None
        self._longest_s = LONGEST_GAP_S if sound_of is None or self._options is None else LONGEST_PICTURE_S
        try:
            self._leave_space()
            self._file = Replacement(self._path)
        except OSError as error:
            raise unwritable(self._path, error) from error
        if self._options is None:
            self._open((64, 64)).close()  # a trial, before any work is done

    def write(self, image_rgb: Image, timestamp_s: float) -> None:
        self._leave_space()
        picture = _even(image_rgb)
        if self._writer is None:
            self._size = (picture.shape[1], picture.shape[0])
            self._writer = self._open(self._size)
        time_s = self._in_video_s(timestamp_s)
        try:
            self._writer.write(_fitted(picture, self._size), time_s)
        except TrackerError as error:
            self._failed = True
            raise self._incomplete(error) from None
        self._count += 1

    def _in_video_s(self, timestamp_s: float) -> float:
        """When the picture is to be shown, in seconds from the first."""
        now_s = self._clock(timestamp_s)
        if self._last_s is not None:
            gap_s = now_s - self._last_s
            self._shortened |= gap_s > self._longest_s
            self._time_s += min(gap_s, self._longest_s)
        self._last_s = now_s
        return self._time_s

    def _leave_space(self) -> None:
        if shutil.disk_usage(self._path.parent).free < SPARE_BYTES:
            raise TrackerError(f"{self._path} ends after {self._count} pictures: the disk is full, make space on it")

    def close(self) -> None:
        try:
            if self._writer is not None:
                try:
                    self._writer.close()
                except TrackerError as error:
                    raise self._incomplete(error) from None
                if not self._failed:
                    self._complete()
        except OSError as error:
            raise unwritable(self._path, error) from error
        finally:
            self._file.discard()

    def _incomplete(self, error: TrackerError) -> TrackerError:
        return TrackerError(f"{self._path} could not be completed: is the disk full? ({error})")

    def _complete(self) -> None:
        count = self._count if self._options is not None else 1
        if not _is_whole(self._file.part, count):
            raise TrackerError(f"{self._path} could not be completed: is the disk full?")
        self._file.complete()
        with _temporary(self._file.target) as with_sound:
            if self._add_sound(with_sound, count):
                replace(with_sound, self._file.target)

    def _add_sound(self, target: Path, count: int) -> bool:
        """Whether target is now the video with sound; if not, it is said why. count: of its pictures."""
        if self._sound_of is None:
            return False
        try:
            if self._shortened:
                raise TrackerError(f"a pause of more than {self._longest_s:g} s was shortened")
            added = add_sound(self._file.target, Path(self._sound_of), self._time_s + 1 / self._fps, target)
            if added and not _is_whole(target, count):
                raise TrackerError("ffmpeg left pictures out")
        except TrackerError as error:
            log.warning("%s has no sound, of %s: %s", self._path, self._sound_of, error)
            return False
        return added

    def _open(self, size: tuple[int, int]) -> H264Pipe | ConstantRate:
        try:
            if self._program is not None and self._options is not None:
                return H264Pipe(self._program, self._options, self._file.part, size, self._fps)
            return ConstantRate(self._file.part, size, min(self._fps, MOST_FPS))
        except TrackerError as error:
            self._file.discard()
            raise TrackerError(f"{self._path} cannot be written: {error}") from None


def is_video_name(path: Path) -> bool:
    """Whether a file of that name can be an OverlayVideo."""
    return path.suffix.lower() in _VIDEOS


class ConstantRate:
    """Pictures of one size in MPEG-4 by OpenCV, at a constant rate: repeated or left out to keep their times.

    path: an existing file, replaced. size: width and height, even. Raises TrackerError where OpenCV cannot.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self._fps = round(fps, 3 if fps < 65 else 1)  # the codec counts time in at most 65535ths of a second
        self._last: Image | None = None
        self._path = path
        self._count = 0
        with openable(str(path)) as plain:
            self._writer = cv2.VideoWriter(plain, cv2.VideoWriter.fourcc(*"mp4v"), self._fps, size)
        if not self._writer.isOpened():
            raise TrackerError(
                f"this OpenCV does not write MPEG-4 of {self._fps:g} frames a second: install opencv-python, or leave "
                "out --overlay"
            )

    def write(self, image_rgb: Image, time_s: float) -> None:
        """The next picture, due at time_s; a clock's jitter of less than a picture is evened out."""
        ahead = self._count - time_s * self._fps
        if self._last is not None and ahead >= 1:
            self._last = image_rgb  # shown if nothing comes for a while
            return
        for _ in range(math.floor(0.25 - ahead)):
            self._append(image_rgb if self._last is None else self._last)
        self._append(image_rgb)
        self._last = image_rgb

    def _append(self, picture: Image) -> None:
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        """Complete the file. Raises TrackerError where it lacks pictures, which OpenCV does not say."""
        if self._writer.isOpened():
            self._writer.release()
            if self._count and not _is_whole(self._path, self._count):
                raise TrackerError("OpenCV left pictures out")


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A hidden file beside the target, empty, which is gone afterwards unless it was moved."""
    descriptor, name = tempfile.mkstemp(target.suffix, ".sound.", target.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _is_whole(path: Path, count: int) -> bool:
    """Whether the file has an index, which is written last, and by it at least that many pictures, or one.

    MKV only has the length, which tells nothing of H.264's pictures.
    """
    with openable(str(path)) as plain, quiet():
        stated = cv2.VideoCapture(plain).get(cv2.CAP_PROP_FRAME_COUNT)
    return stated > max(1 if path.suffix.lower() == ".mkv" else count, 1) - 0.5


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
