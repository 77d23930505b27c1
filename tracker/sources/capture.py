"""Opening a cv2.VideoCapture without messages on the terminal, and reading its properties."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sources.frame import WIDEST_PIXEL
from tracker.sources.picture_size import MOST_PIXELS
from tracker.system.opencv_log import quiet

log = logging.getLogger(__name__)

OPEN_URL_MS = 10_000
MOST_FRAMES = 1 << 40  # a larger count is invalid, as infinity is
READ_URL_MS = 15_000  # for one picture: a stream may begin long before its first key frame


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used. Calls come from one thread at a time."""

    def grab(self) -> bool:
        """Fetch the next picture without decoding it; False at the end. May block for ever."""

    def retrieve(self) -> tuple[bool, NDArray[Any] | None]:
        """Decode the picture that was grabbed, BGR; False, None or a cv2.error if that fails."""

    def get(self, propId: int) -> float:  # noqa: N803
        """Return a property by its cv2.CAP_PROP_ number."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        """Set a property; False if it is not supported."""

    def release(self) -> None:
        """Close the device or file."""


def grab_next(capture: Capture) -> bool:
    """Fetch the next picture without decoding it; False at the end, and where OpenCV fails on what is damaged."""
    try:
        return capture.grab()
    except cv2.error as error:
        log.warning("it is damaged: OpenCV cannot read on (%s)", " ".join(str(error).split())[:160])
        return False


def decode_grabbed(capture: Capture) -> NDArray[Any] | None:
    """Decode the picture that was grabbed, BGR; None where that fails. OpenCV 5 calls some of these decoded."""
    try:
        decoded, image = capture.retrieve()
    except cv2.error:
        return None
    return image if decoded else None


def open_capture(
    target: int | str, cannot_open: str, backend: int = cv2.CAP_ANY, options: Sequence[int] = ()
) -> cv2.VideoCapture:
    """Open a capture.

    Args:
        target: a camera's number, a file name, a URL or a pipeline.
        cannot_open: the message of the error.
        backend: the cv2.CAP_ backend.
        options: (property, value, property, value, ...) as cv2 takes them.

    Raises:
        TrackerError: if it cannot be opened, or its pictures have more than MOST_PIXELS.
    """
    with quiet():
        capture = cv2.VideoCapture(target, backend, options) if options else cv2.VideoCapture(target, backend)
    if not capture.isOpened():
        raise TrackerError(cannot_open)
    width, height = (capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MOST_PIXELS:
        capture.release()
        raise TrackerError(
            f"{cannot_open}; its header states {width:.0f} x {height:.0f} pixels, at most {MOST_PIXELS:,} in all are "
            "decoded"
        )
    return capture


def open_url(url: str) -> cv2.VideoCapture:
    """Open a stream or a file by its URL.

    With FFmpeg, opening times out after 10 s and each read after 15 s. RTSP uses TCP if the server supports it;
    $OPENCV_FFMPEG_CAPTURE_OPTIONS overrides FFmpeg's options.

    Raises:
        TrackerError: if it cannot be opened.
    """
    cannot = f"{redact_source(url)} could not be opened as a video: is it running and reachable?"
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        return open_capture(url, cannot)
    timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_URL_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_URL_MS)
    return open_capture(url, cannot, cv2.CAP_FFMPEG, timeouts)


def stated_fps(capture: Capture) -> float | None:
    """Return the frames per second that the capture states.

    Returns:
        None for an invalid rate. 1000 and more count as invalid: a container without a rate counts milliseconds.
    """
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps < 1000 else None


def stated_count(capture: Capture) -> int | None:
    """Return how many frames the container states: exact or, for some formats, its length times its rate."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if 0 < count < MOST_FRAMES and stated_fps(capture) is not None else None


def pixel_aspect(capture: Capture) -> float:
    """Return the width of a pixel over its height; 1 if none or an invalid one is stated."""
    width, height = (capture.get(key) for key in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    aspect = width / height if width > 0 and height > 0 else 1.0
    if round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180:
        aspect = 1 / aspect
    return aspect if 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL and abs(aspect - 1) > 0.005 else 1.0
