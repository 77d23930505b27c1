"""Reader, a thread that reads one connection to a live source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.sources.base import Losses
from tracker.sources.capture import Capture, decode_grabbed, grab_next
from tracker.sources.frame import as_rgb


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of a live source.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        grabbed_s: time.monotonic() when it was grabbed.
    """

    image_rgb: NDArray[np.uint8]
    grabbed_s: float


class Reader:
    """Opens a capture in a thread and grabs continuously; only the newest picture is kept.

    The thread ends with the capture, if that cannot be opened, after an error, or after stop(). A thread that hangs in
    a driver cannot be killed: it ends when the driver returns, and keeps the device open until then.

    Args:
        name: of the source, for the thread's name.
        open_capture: opens the capture; called in the thread.
        changed: notified of every change; its lock guards all attributes.
        losses: where dropped and unreadable pictures are counted.

    Attributes:
        wanted: whether replaced pictures count as dropped: from the first take() on.
        begun: whether there was a picture.
        over: whether the thread has ended.
        failure: the exception that ended it, if any.
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
        """Return the newest picture, each only once; None if there is no new one."""
        newest, self._newest = self._newest, None
        self.wanted = True
        return newest

    def silent_s(self) -> float:
        """Return the seconds since the last picture, or since the start."""
        return time.monotonic() - self._sign_s

    def stop(self) -> None:
        """Discard whatever is still read; the thread ends as soon as the driver returns."""
        self._stopped = True

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; return whether it has ended."""
        if self._thread is not threading.current_thread():  # the garbage collector may run in it
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._grab_all()
        except Exception as error:  # raised again where frames are read
            self.failure = error
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def _grab_all(self) -> None:
        capture = self._open()
        try:
            while not self._stopped and grab_next(capture):
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
    """Return the picture that was grabbed, as RGB; None if it cannot be decoded or is no picture."""
    image = decode_grabbed(capture)
    try:
        return None if image is None else as_rgb(image)
    except TrackerError:
        return None
