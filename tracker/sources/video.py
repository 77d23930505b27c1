"""Video: the frames of a file, all of them, at their own times."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sources.base import FALLBACK_FPS, Source, Timeline
from tracker.sources.capture import Capture, open_capture, open_url, pixel_aspect, stated_count, stated_fps
from tracker.sources.container import UNITY, Container, read_container
from tracker.sources.ffmpeg_decoder import Decoded
from tracker.sources.file_names import STDIN, is_pipe, openable, stdin_path
from tracker.sources.frame import Frame, as_rgb
from tracker.sources.picture_size import stated_size
from tracker.sources.pictures import expect_size

log = logging.getLogger(__name__)

HEAD_BYTES = 1 << 20
_LOST_URL = 0.9  # of a URL's frames: with fewer the connection ended early
_COUNTING = (".avi", ".m4v", ".mov", ".mp4")  # containers that state their number of frames


class Video(Source):
    """A video file. No frame is lost; timestamps are the container's own, of any frame rate, from the first frame.

    path: of the file or a named pipe, its URL, or "-" for standard input; afterwards that of the file, None for
    others. capture: it, if it is open already. fps: as stated, 30 where nothing is.
    frame_count: MKV, WebM, WMV, MPEG and pipes only estimate it by their length, that of the sound included.
    Frames are turned and mirrored as the file says (its display matrix); Frame.pixel_aspect is the shape of its pixels.
    What OpenCV opens and cannot decode, such as AV1, is decoded by the ffmpeg program where that is installed.
    A file that is cut short or damaged is read as far as it goes, with a warning at its end; of a frame that OpenCV
    gives up decoding nothing is seen but the count and the time that is missing.
    Raises TrackerError when there is no such file, or it is not a video, or nothing in it can be decoded.
    """

    def __init__(self, path: str | Path, capture: Capture | None = None) -> None:
        given = os.fspath(path)
        target = stdin_path() if given == STDIN else given
        is_file = "://" not in target and not is_pipe(target)
        self.path = Path(target) if is_file else None
        name = "standard input" if given == STDIN else given if "://" not in given else redact_source(given)
        self._capture = capture or _open(target, name)
        self._container = read_container(target) if is_file else Container(_counts(target))
        if self._container.mirrored:
            self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # OpenCV turns such pictures and does not mirror them
        self._pixel_aspect = pixel_aspect(self._capture)
        fps = stated_fps(self._capture)
        super().__init__(name, stated_count(self._capture), fps or FALLBACK_FPS)
        if fps is None:
            log.warning("%s does not state its frame rate; assuming %g a second", name, FALLBACK_FPS)

    def close(self) -> None:
        super().close()
        self._capture.release()

    def _read(self) -> Generator[Frame, None, None]:
        interval_s = 1 / (self.fps or FALLBACK_FPS)
        timeline, gaps, index = Timeline(self.name, interval_s), Gaps(interval_s), 0
        while self._capture.grab() or (index == 0 and self._decode_by_ffmpeg()):
            time_s = timeline(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)  # after the last grab it is 0
            gaps.add(time_s)
            decoded, image = self._capture.retrieve()
            if decoded:
                if self._container.mirrored:
                    image = mirrored(image, self._container)
                yield Frame(as_rgb(image), time_s, index, pixel_aspect=self._pixel_aspect)
            self.losses.unreadable += not decoded
            index += 1
        self._report_end(index - self.losses.unreadable, gaps.missing())

    def _decode_by_ffmpeg(self) -> bool:
        """Whether ffmpeg gives a first picture where OpenCV gives none. Raises TrackerError where it cannot."""
        codec = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
        none = f"no picture could be decoded from {self.name} ({codec.decode('ascii', 'replace').strip()})"
        if self.path is None:
            raise TrackerError(
                f"{none}: it is damaged, or this OpenCV has no decoder for it; write it to a file, which ffmpeg may "
                "decode, or convert it to H.264"
            )
        self._capture.release()
        try:
            self._capture = Decoded(str(self.path))
        except TrackerError as error:
            raise TrackerError(f"{none}: {error}") from None
        self._container = replace(self._container, matrix=UNITY)
        self._pixel_aspect = pixel_aspect(self._capture)
        return self._capture.grab()

    def _report_end(self, count: int, missing: int) -> None:
        """Say what is wrong when no more frames come after count of them. missing: so many by their times."""
        if count == 0:
            raise TrackerError(f"no picture could be decoded from {self.name}: is it damaged, or only sound?")
        cut, expected, about = self._container.cut_short, self.frame_count or 0, ""
        if self._container.counts and self.path is None:
            cut = count < _LOST_URL * expected
        if not self._container.counts:
            seen = count + missing + self.losses.unreadable
            expected, about = (expected, "about ") if cut and expected > seen else (seen, "")
        if count < expected:
            what = "cut short" if cut else "damaged, or its frame rate varies"
            log.warning("%s is %s: read %d of %s%d frames", self.name, what, count, about, expected)
        elif cut and not self._container.counts:
            log.warning("%s is cut short: read %d frames", self.name, count)


class Gaps:
    """How many frames are missing by the times of the others, where these have a constant rate.

    A single one is no sign of damage: cameras leave one out now and then. interval_s: between two frames.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last_s: float | None = None
        self._count = self._gaps = self._missing = 0
        self._steady = True

    def add(self, time_s: float) -> None:
        if self._last_s is not None:
            intervals = (time_s - self._last_s) / self._interval_s
            whole = max(1, round(intervals))
            self._steady &= abs(intervals - whole) < 0.1
            self._missing += whole - 1 if whole > 2 else 0
            self._gaps += whole > 1
            self._count += 1
        self._last_s = time_s

    def missing(self) -> int:
        """0 where the rate varies: times that are not of one grid, or gaps that are no exception."""
        return self._missing if self._steady and self._gaps <= max(1, 0.02 * self._count) else 0


def _counts(url: str) -> bool:
    """Whether a URL leads to a file that states its number of frames, by its name; never of a pipe."""
    return "://" in url and urlsplit(url).path.lower().endswith(_COUNTING)


def mirrored(image: NDArray[Any], container: Container) -> NDArray[Any]:
    """A picture as it is stored, as its display matrix shows it; one of those that mirror."""
    a, b, _, _ = container.matrix
    if a:
        return np.asarray(cv2.flip(image, 1 if a < 0 else 0))
    turned = cv2.transpose(image)
    return np.asarray(cv2.flip(turned, -1) if b < 0 else turned)


def _open(target: str, name: str) -> Capture:
    if "://" in target:
        return open_url(target)
    if is_pipe(target):
        return _open_pipe(target, name)
    if not os.path.isfile(target):
        what = "is a folder: use --images for pictures" if os.path.isdir(target) else "does not exist"
        if os.path.exists(target) and not os.path.isdir(target):
            what = "is a device; name a camera with --camera"
        raise TrackerError(f"expected a video file, but {redact_source(name)} {what}")
    _expect_picture_size(target)
    cannot = f"{name} could not be opened as a video: expected a complete MP4, AVI, MKV, MOV or WebM with pictures"
    with openable(target) as plain:
        return open_capture(plain, cannot)


def _open_pipe(target: str, name: str) -> Capture:
    """What a pipe gives can be read once: no other backend may try it first."""
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        raise TrackerError(f"{name} is a pipe, which this OpenCV cannot read without FFmpeg: write it to a file first")
    cannot = (
        f"{name} could not be opened as a video: of a pipe expected MKV, WebM, MPEG-TS, AVI or an MP4 whose index "
        "comes first (ffmpeg -movflags +faststart)"
    )
    with openable(target) as plain:
        return open_capture(plain, cannot, cv2.CAP_FFMPEG)


def _expect_picture_size(path: str) -> None:
    """Raise TrackerError for a picture that is too large: to open one as a video FFmpeg decodes it."""
    try:
        with open(path, "rb") as file:
            size = stated_size(file.read(HEAD_BYTES))
    except OSError:
        return  # OpenCV will say so
    if size is not None:
        expect_size(size, path)
