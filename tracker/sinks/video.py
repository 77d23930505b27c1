"""Annotated pictures as a video file."""

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
"""Bytes left free on the disk: the codec needs space to complete its file and does not report a full disk."""

LONGEST_GAP_S = 10.0
"""A longer pause between pictures is shortened to this, except in H.264 with a file's sound, where pauses are free."""

LONGEST_PICTURE_S = 12 * 3600.0
"""The longest duration of one picture; MP4 allows 13 h."""

MOST_FPS = 240.0
"""The largest rate for MPEG-4, whose rate is constant: a pause is filled with repeated pictures at that rate."""

_VIDEOS = (".mp4", ".mov", ".avi", ".mkv")


class OverlayVideo(Closing):
    """Writes a video file with the size of the first picture; pictures of other sizes are fitted into it.

    If an ffmpeg with an H.264 encoder is installed (tracker.sinks.h264), the video is H.264, which browsers play, and
    each picture has its own timestamp. Otherwise, and for .avi, it is MPEG-4 written by OpenCV at a constant rate:
    pictures are repeated until the next one is due, and left out if they come faster than that rate.

    The file appears when close completes it; until then it is a hidden file in the same folder. If no picture was
    written, no file appears. An odd width or height grows by one pixel, because the codecs need even ones.

    If the disk is almost full, write raises TrackerError, and close completes the video with the pictures so far.

    Args:
        path: of the file: .mp4, .mov, .avi or .mkv.
        fps: pictures per second for MPEG-4, at most MOST_FPS; for H.264 it is only used for the duration of the last
            picture.
        sound_of: a video file with the same timestamps, whose sound is copied by ffmpeg; without ffmpeg the video has
            no sound, and the log has a warning.

    Raises:
        TrackerError: the file cannot be written, or another run is writing it.
    """

    def __init__(self, path: str | Path, fps: float, sound_of: str | Path | None = None) -> None:
        self._path = Path(path)
        suffix = self._path.suffix.lower()
        if os.path.isdir(self._path) or suffix not in _VIDEOS:
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
        """Write the next picture, see PictureSink.write."""
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
        """Return when the picture is shown, in seconds from the first picture."""
        now_s = self._clock(timestamp_s)
        if self._last_s is not None:
            gap_s = now_s - self._last_s
            self._shortened |= gap_s > self._longest_s
            self._time_s += min(gap_s, self._longest_s)
        self._last_s = now_s
        return self._time_s

    def _leave_space(self) -> None:
        if shutil.disk_usage(self._path.parent).free < SPARE_BYTES:
            raise TrackerError(f"{self._path} ends after {self._count} pictures: the disk is full; free some space")

    def close(self) -> None:
        """Complete the file and give it its name, see PictureSink.close."""
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
        """Write the video of count pictures with sound to target. If it has no sound, log why and return False."""
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


class ConstantRate:
    """Writes pictures of one size as MPEG-4 with OpenCV, at a constant rate; repeats or omits some to keep the timing.

    Args:
        path: of an existing file, which is replaced.
        size: (width, height) in pixels, both even.
        fps: pictures per second.

    Raises:
        TrackerError: OpenCV cannot write such a video.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self._fps = round(fps, 3 if fps < 65 else 1)  # the codec's time base is at most 65535 units a second
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
        """Write the next picture; jitter of the timestamps by less than a picture is evened out.

        Args:
            image_rgb: (H, W, 3) uint8 RGB, of the size given at the start.
            time_s: seconds from the start of the video.
        """
        ahead = self._count - time_s * self._fps
        if self._last is not None and ahead >= 1:
            self._last = image_rgb  # repeated if no other picture comes for a while
            return
        for _ in range(math.floor(0.25 - ahead)):
            self._append(image_rgb if self._last is None else self._last)
        self._append(image_rgb)
        self._last = image_rgb

    def _append(self, picture: Image) -> None:
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        """Complete the file.

        Raises:
            TrackerError: pictures are missing in it, which OpenCV does not report.
        """
        if self._writer.isOpened():
            self._writer.release()
            if self._count and not _is_whole(self._path, self._count):
                raise TrackerError("OpenCV left pictures out")


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Make an empty hidden file in the target's folder, and delete it at the end unless it was moved."""
    descriptor, name = tempfile.mkstemp(target.suffix, ".sound.", target.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _is_whole(path: Path, count: int) -> bool:
    """Return whether the file has an index, which is written last, with at least that many pictures.

    For MKV, which has only the duration and not the number of pictures, one picture is enough.
    """
    with openable(str(path)) as plain, quiet():
        stated = cv2.VideoCapture(plain).get(cv2.CAP_PROP_FRAME_COUNT)
    return stated > max(1 if path.suffix.lower() == ".mkv" else count, 1) - 0.5


def _even(image_rgb: Image) -> Image:
    """Repeat the last column and the last row if the width or the height is odd."""
    height, width = image_rgb.shape[:2]
    padded = cv2.copyMakeBorder(image_rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=np.uint8)


def _fitted(image_rgb: Image, size: tuple[int, int]) -> Image:
    """Fit the picture into (width, height), centred on black; return it unchanged if it has that size."""
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
