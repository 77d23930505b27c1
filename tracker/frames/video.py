"""Video: the frames of a file, all of them, at their own times."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from pathlib import Path

import cv2

from tracker.errors import TrackerError
from tracker.frames.capture import Capture, open_capture, open_url, stated_count, stated_fps
from tracker.frames.frame import Frame, as_rgb
from tracker.frames.pictures import expect_size
from tracker.frames.size import stated_size
from tracker.frames.source import FALLBACK_FPS, Source, Timeline
from tracker.redaction import redact_source

log = logging.getLogger(__name__)

HEAD_BYTES = 1 << 20


class Video(Source):
    """A video file. No frame is lost; timestamps are the container's own, of any frame rate, from the first frame.

    path: of the file, or its URL; afterwards that of the file, None for a URL. capture: it, if it is open already.
    fps: as stated, 30 where nothing is.
    frame_count: where the frame rate varies, some containers announce another number than they hold.
    A file that is cut short or damaged is read as far as it goes, with a warning at its end; of a frame that OpenCV
    gives up decoding nothing is seen but the count and the time that is missing.
    Raises TrackerError when there is no such file, or it is not a video, or nothing in it can be decoded.
    """

    def __init__(self, path: str | Path, capture: Capture | None = None) -> None:
        target = os.fspath(path)
        self.path = None if "://" in target else Path(target)
        name = target if self.path is not None else redact_source(target)
        self._capture = capture or _open(target)
        fps = stated_fps(self._capture)
        super().__init__(name, stated_count(self._capture), fps or FALLBACK_FPS)
        if fps is None:
            log.warning("%s does not state its frame rate; assuming %g a second", name, FALLBACK_FPS)

    def close(self) -> None:
        super().close()
        self._capture.release()

    def _read(self) -> Generator[Frame, None, None]:
        interval_s = 1 / (self.fps or FALLBACK_FPS)
        timeline, index, time_s = Timeline(self.name, interval_s), 0, -interval_s
        while self._capture.grab():
            time_s = timeline(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)  # after the last grab it is 0
            decoded, image = self._capture.retrieve()
            if decoded:
                yield Frame(as_rgb(image), time_s, index)
            self.losses.unreadable += not decoded
            index += 1
        self._report_end(index - self.losses.unreadable, time_s + interval_s)

    def _report_end(self, count: int, length_s: float) -> None:
        """Say what is wrong when no more frames come after count of them, which last length_s."""
        if count == 0:
            raise TrackerError(f"no picture could be decoded from {self.name}: is it damaged, or only sound?")
        if self.frame_count is None or self.fps is None or count >= self.frame_count:
            return
        cut = length_s + 0.5 / self.fps < self.frame_count / self.fps
        what = "cut short" if cut else "damaged, or its frame rate varies"
        log.warning("%s is %s: read %d of %d frames", self.name, what, count, self.frame_count)


def _open(path: str) -> Capture:
    if "://" in path:
        return open_url(path)
    if not os.path.isfile(path):
        what = "is a folder: use --images for pictures" if os.path.isdir(path) else "does not exist"
        raise TrackerError(f"expected a video file, but {redact_source(path)} {what}")
    _expect_picture_size(path)
    return open_capture(path, f"{path} could not be opened as a video: expected a complete MP4, AVI, MKV, MOV or WebM")


def _expect_picture_size(path: str) -> None:
    """Raise TrackerError for a picture that is too large: to open one as a video FFmpeg decodes it."""
    try:
        with open(path, "rb") as file:
            size = stated_size(file.read(HEAD_BYTES))
    except OSError:
        return  # OpenCV will say so
    if size is not None:
        expect_size(size, path)
