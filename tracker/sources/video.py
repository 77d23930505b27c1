"""Video files as a source: every frame, with the container's timestamps."""

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
from tracker.sources.capture import (
    Capture,
    decode_grabbed,
    grab_next,
    open_capture,
    open_url,
    pixel_aspect,
    stated_count,
    stated_fps,
)
from tracker.sources.container import UNITY, Container, read_container
from tracker.sources.ffmpeg_decoder import Decoded
from tracker.sources.file_names import STDIN, is_pipe, openable, stdin_path
from tracker.sources.frame import Frame, as_rgb
from tracker.sources.picture_size import stated_size
from tracker.sources.pictures import expect_size

log = logging.getLogger(__name__)

HEAD_BYTES = 1 << 20
_LOST_URL = 0.9  # with a smaller share of a URL's frames, the connection ended early
_COUNTING = (".avi", ".m4v", ".mov", ".mp4")  # containers that state their number of frames


class Video(Source):
    """A video file. No frame is dropped; timestamps are the container's, constant or variable, 0 at the first frame.

    Frames are rotated and mirrored by the file's display matrix; Frame.pixel_aspect states non-square pixels. What
    OpenCV opens but cannot decode, such as AV1, is decoded by the ffmpeg program if that is installed.

    A file that is cut short or damaged is read as far as possible, with a warning at its end. Frames that OpenCV skips
    while decoding show only in the count and as a gap in the timestamps. Iterating raises TrackerError if nothing can
    be decoded.

    Args:
        path: of the file or a named pipe, a URL, or "-" for standard input.
        capture: the video, if it is already open.

    Attributes:
        path: of the file; None for pipes and URLs.
        fps: as stated; 30 if it is not.
        frame_count: an estimate, from the duration including sound, for MKV, WebM, WMV, MPEG and pipes.

    Raises:
        TrackerError: if there is no such file, or it is not a video.
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
            self._capture.set(
                cv2.CAP_PROP_ORIENTATION_AUTO, 0
            )  # OpenCV would rotate such pictures without mirroring them
        self._pixel_aspect = pixel_aspect(self._capture)
        fps = stated_fps(self._capture)
        super().__init__(name, stated_count(self._capture), fps or FALLBACK_FPS)
        if fps is None:
            log.warning("%s does not state its frame rate; assuming %g a second", name, FALLBACK_FPS)

    def close(self) -> None:
        """Close the file; there are no more frames."""
        super().close()
        self._capture.release()

    def _read(self) -> Generator[Frame, None, None]:
        interval_s = 1 / (self.fps or FALLBACK_FPS)
        timeline, gaps, index = Timeline(self.name, interval_s), Gaps(interval_s), 0
        while grab_next(self._capture) or (index == 0 and self._decode_by_ffmpeg()):
            time_s = timeline(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)  # after the last grab it is 0
            gaps.add(time_s)
            image = decode_grabbed(self._capture)
            if image is not None:
                if self._container.mirrored:
                    image = mirrored(image, self._container)
                yield Frame(as_rgb(image), time_s, index, pixel_aspect=self._pixel_aspect)
            self.losses.unreadable += image is None
            index += 1
        self._report_end(index - self.losses.unreadable, gaps.missing())

    def _decode_by_ffmpeg(self) -> bool:
        """Switch to ffmpeg if OpenCV gives no first picture; raise TrackerError if that fails, too."""
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
        return grab_next(self._capture)

    def _report_end(self, count: int, missing: int) -> None:
        """Warn if frames are missing at the end: after `count` frames, with `missing` by their timestamps."""
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
    """Counts missing frames by the timestamps of the others, if the frame rate is constant.

    Single missing frames do not count: cameras drop one now and then.

    Args:
        interval_s: seconds between two frames.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last_s: float | None = None
        self._count = self._gaps = self._missing = 0
        self._steady = True

    def add(self, time_s: float) -> None:
        """Take the timestamp of the next frame, in seconds."""
        if self._last_s is not None:
            intervals = (time_s - self._last_s) / self._interval_s
            whole = max(1, round(intervals))
            self._steady &= abs(intervals - whole) < 0.1
            self._missing += whole - 1 if whole > 2 else 0
            self._gaps += whole > 1
            self._count += 1
        self._last_s = time_s

    def missing(self) -> int:
        """Return how many frames are missing; 0 if the rate varies: uneven intervals, or frequent gaps."""
        return self._missing if self._steady and self._gaps <= max(1, 0.02 * self._count) else 0


def _counts(url: str) -> bool:
    """Tell by a URL's suffix whether its container states the number of frames."""
    return "://" in url and urlsplit(url).path.lower().endswith(_COUNTING)


def mirrored(image: NDArray[Any], container: Container) -> NDArray[Any]:
    """Apply a display matrix that mirrors to a picture as it is stored.

    Args:
        image: (H, W, 3).
        container: whose matrix mirrors.

    Returns:
        The picture as it is displayed.
    """
    a, b, _, _ = container.matrix
    if a:
        return np.asarray(cv2.flip(image, 1 if a < 0 else 0))
    transposed = cv2.transpose(image)
    return np.asarray(cv2.flip(transposed, -1) if b < 0 else transposed)


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
    """Open a pipe with FFmpeg: it can be read only once, so no other backend may try it first."""
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        raise TrackerError(f"{name} is a pipe, which this OpenCV cannot read without FFmpeg: write it to a file first")
    cannot = (
        f"{name} could not be opened as a video: of a pipe expected MKV, WebM, MPEG-TS, AVI or an MP4 whose index "
        "comes first (ffmpeg -movflags +faststart)"
    )
    with openable(target) as plain:
        return open_capture(plain, cannot, cv2.CAP_FFMPEG)


def _expect_picture_size(path: str) -> None:
    """Raise TrackerError for a picture that is too large: FFmpeg decodes a picture when it opens it as a video."""
    try:
        with open(path, "rb") as file:
            size = stated_size(file.read(HEAD_BYTES))
    except OSError:
        return  # OpenCV reports it
    if size is not None:
        expect_size(size, path)
