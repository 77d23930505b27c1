"""Opening a cv2.VideoCapture quietly, and asking it what it states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import cv2
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sources.frame import WIDEST_PIXEL
from tracker.sources.picture_size import MOST_PIXELS
from tracker.system.opencv_log import quiet

OPEN_URL_MS = 10_000
MOST_FRAMES = 1 << 40  # more is nonsense, as infinity is
READ_URL_MS = 15_000  # for one picture: a stream may begin long before its first key frame


class Capture(Protocol):
    """What is used of cv2.VideoCapture. grab may block for ever; calls come from one thread at a time."""

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, NDArray[Any]]: ...

    def get(self, propId: int) -> float: ...  # noqa: N803

    def set(self, propId: int, value: float) -> bool: ...  # noqa: N803

    def release(self) -> None: ...


def open_capture(
    target: int | str, cannot_open: str, backend: int = cv2.CAP_ANY, options: Sequence[int] = ()
) -> cv2.VideoCapture:
    """The opened capture. options: (property, value, ...) as cv2 takes them. Raises TrackerError(cannot_open)."""
    with quiet():
        capture = cv2.VideoCapture(target, backend, options) if options else cv2.VideoCapture(target, backend)
    if not capture.isOpened():
        raise TrackerError(cannot_open)
    width, height = (capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MOST_PIXELS:
        capture.release()
        raise TrackerError(
            f"{cannot_open}; it states {width:.0f} x {height:.0f} pixels, at most {MOST_PIXELS:,} in all are decoded"
        )
    return capture


def open_url(url: str) -> cv2.VideoCapture:
    """A stream or a file behind a URL; gives up after 10 s, its reads after 15 s, where OpenCV's FFmpeg does it.

    RTSP comes over TCP wherever the server offers that; $OPENCV_FFMPEG_CAPTURE_OPTIONS sets FFmpeg's options otherwise.
    Raises TrackerError when it cannot be opened.
    """
    cannot = f"{redact_source(url)} could not be opened as a video: is it running and reachable?"
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        return open_capture(url, cannot)
    timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_URL_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_URL_MS)
    return open_capture(url, cannot, cv2.CAP_FFMPEG, timeouts)


def stated_fps(capture: Capture) -> float | None:
    """Frames a second; None for nonsense, as 1000 is: a container without a rate, counting in milliseconds."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps < 1000 else None


def stated_count(capture: Capture) -> int | None:
    """How many frames the container announces: exact or, in some kinds, its length times its rate."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if 0 < count < MOST_FRAMES and stated_fps(capture) is not None else None


def pixel_aspect(capture: Capture) -> float:
    """Width of a pixel over its height in the pictures that come from it; 1 where none is stated, or nonsense."""
    width, height = (capture.get(key) for key in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    aspect = width / height if width > 0 and height > 0 else 1.0
    if round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180:
        aspect = 1 / aspect
    return aspect if 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL and abs(aspect - 1) > 0.005 else 1.0
