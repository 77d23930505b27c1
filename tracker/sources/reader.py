"""Reader: one connection to a live source, read by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.sources.base import Losses
from tracker.sources.capture import Capture
from tracker.sources.frame import as_rgb


@dataclass(frozen=True, eq=False)
class Picture:
    """image_rgb: (H, W, 3) uint8. grabbed_s: time.monotonic() when it was grabbed."""

    image_rgb: NDArray[np.uint8]
    grabbed_s: float


class Reader:
    """Opens a capture and grabs without pause; only the newest picture is kept.

    Its thread ends when the capture does or cannot be opened, when OpenCV or this code fails, or after stop(). A
    thread that hangs in a driver cannot be killed by anybody: it ends when the driver lets go of it, and until then
    keeps the device open. Whatever changes is notified on changed, whose lock guards all that is here.

    wanted: whether to count pictures as dropped. begun: whether it has had a picture. over: whether the thread has done
    its work; failure: why, if something was raised. silent_s(): how long it has not got on.
    """

    def __init__(
        self, name: str, open_capture: Callable[[], Capture], changed: threading.Condition, losses: Losses
    ) -> None:
        self.wanted = False
        self.over = False
        self.begun = False
        self.failure: Exception | None = None
        self._open = open_capture
        self._changed = changed
        self._losses = losses
        self._newest: Picture | None = None
        self._stopped = False
        self._sign_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"reader of {name}", daemon=True)
        self._thread.start()

    def take(self) -> Picture | None:
        """The newest picture, once."""
        newest, self._newest = self._newest, None
        self.wanted = True
        return newest

    def silent_s(self) -> float:
        """Seconds since it last had a picture, or was started."""
        return time.monotonic() - self._sign_s

    def stop(self) -> None:
        """Nothing that it still reads is kept; its thread ends as soon as the driver lets it."""
        self._stopped = True

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether it has ended."""
        if self._thread is not threading.current_thread():  # where garbage may be collected
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._grab_all()
        except Exception as error:  # raised again where the frames are asked for
            self.failure = error
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def _grab_all(self) -> None:
        capture = self._open()
        try:
            while not self._stopped and capture.grab():
                grabbed_s = time.monotonic()
                self._keep(_decoded(capture), grabbed_s)
        finally:
            capture.release()

    def _keep(self, image_rgb: NDArray[np.uint8] | None, grabbed_s: float) -> None:
        with self._changed:
            if self._stopped:
                return
            if image_rgb is None:
                self._losses.unreadable += 1
                return
            self._losses.dropped += self.wanted and self._newest is not None
            self._newest = Picture(image_rgb, grabbed_s)
            self.begun = True
            self._sign_s = grabbed_s
            self._changed.notify_all()


def _decoded(capture: Capture) -> NDArray[np.uint8] | None:
    """The picture that was grabbed, as RGB; None for one that cannot be had, or is no picture."""
    try:
        decoded, image = capture.retrieve()
        return as_rgb(image) if decoded else None
    except (cv2.error, TrackerError):
        return None
