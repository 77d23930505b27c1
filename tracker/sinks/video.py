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
from tracker.files import Replacement, replace
from tracker.sinks.base import Closing, Image, unwritable
from tracker.sinks.sound import add_sound

log = logging.getLogger(__name__)

SPARE_BYTES = 16 << 20
"""What is left free on the disk: the codec needs room to complete its file and does not say when there is none."""

LONGEST_GAP_S = 10.0
"""A longer pause of the source is shortened to this in the video."""

_VIDEOS = (".mp4", ".mov", ".avi", ".mkv")


class OverlayVideo(Closing):
    """A video file (MPEG-4) of the size of the first picture; pictures of other sizes are fitted into it.

    path: appears when close has completed it; until then it is a hidden file beside it. An odd width or height grows
    by one pixel, as the codec asks. Nothing appears when no picture was written.
    fps: pictures a second in the file. Every picture written is in it; where one is missing by the timestamps, the
    one before is repeated, so that the video keeps the time of its source.
    sound_of: a video file whose sound is copied by ffmpeg; without ffmpeg the video is silent, with a warning.

    Raises TrackerError at once when such a file cannot be written there or another run is writing it, also from write
    when the disk is all but full (close then completes what was written), and from close when the file is incomplete.
    """

    def __init__(self, path: str | Path, fps: float, sound_of: str | Path | None = None) -> None:
        self._path = Path(path)
        if self._path.is_dir() or self._path.suffix.lower() not in _VIDEOS:
            raise TrackerError(f"{self._path}: expected the name of a video file ending in {', '.join(_VIDEOS)}")
        self._fps = round(fps, 3 if fps < 65 else 1)  # the codec counts time in at most 65535ths of a second
        self._sound_of = sound_of
        self._last: Image | None = None
        self._start_s = 0.0
        self._count = 0
        try:
            self._leave_space()
            self._file = Replacement(self._path)
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._writer = self._open((64, 64))  # a trial, before any work is done
        self._writer.release()

    def write(self, image_rgb: Image, timestamp_s: float) -> None:
        self._leave_space()
        picture = _even(image_rgb)
        if self._last is None:
            self._start_s = timestamp_s
            self._writer = self._open((picture.shape[1], picture.shape[0]))
        else:
            height, width = self._last.shape[:2]
            picture = _fitted(picture, (width, height))
            for _ in range(self._missing(timestamp_s)):
                self._append(self._last)
        self._append(picture)
        self._last = picture

    def _leave_space(self) -> None:
        if shutil.disk_usage(self._path.parent).free < SPARE_BYTES:
            raise TrackerError(f"{self._path} ends after {self._count} pictures: the disk is full, make space on it")

    def _missing(self, timestamp_s: float) -> int:
        """How many pictures should have been written before this one, and were not."""
        elapsed_s = timestamp_s - self._start_s
        gap_s = elapsed_s - self._count / self._fps
        self._start_s += max(0.0, gap_s - LONGEST_GAP_S)
        return max(0, math.floor(min(gap_s, LONGEST_GAP_S) * self._fps + 0.25))  # a clock's jitter is no gap

    def _append(self, picture: Image) -> None:
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        try:
            if self._writer.isOpened():
                self._writer.release()
                self._complete()
        except OSError as error:
            raise unwritable(self._path, error) from error
        finally:
            self._file.discard()

    def _complete(self) -> None:
        if not _is_whole(self._file.part, self._count):
            raise TrackerError(f"{self._path} could not be completed: is the disk full?")
        self._file.complete()
        with _temporary(self._file.target) as with_sound:
            if self._add_sound(with_sound):
                replace(with_sound, self._file.target)

    def _add_sound(self, target: Path) -> bool:
        """Whether target is now the video with sound; if not, it is said why."""
        if self._sound_of is None:
            return False
        try:
            added = add_sound(self._file.target, Path(self._sound_of), self._count / self._fps, target)
            if added and not _is_whole(target, self._count):
                raise TrackerError("ffmpeg left pictures out")
        except TrackerError as error:
            log.warning("%s has no sound, of %s: %s", self._path, self._sound_of, error)
            return False
        return added

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(self._file.part), codec, self._fps, size)
        if not writer.isOpened():
            self._file.discard()
            raise TrackerError(
                f"this OpenCV cannot write {self._path} as MPEG-4 of {self._fps:g} frames a second: "
                "install opencv-python, or leave out --overlay"
            )
        return writer


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A hidden file beside the target, empty, which is gone afterwards unless it was moved."""
    descriptor, name = tempfile.mkstemp(target.suffix, f".{target.stem}.", target.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _is_whole(path: Path, count: int) -> bool:
    """Whether the file has an index, which is written last, and by it at least that many pictures, or one."""
    return cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) > max(count, 1) - 0.5


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
