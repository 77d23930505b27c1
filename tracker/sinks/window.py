"""Pictures in a window."""

from __future__ import annotations

import contextlib
import os
import sys

import cv2

from tracker.errors import TrackerError
from tracker.sinks.base import Closing, Image


def has_display() -> bool:
    """Whether there is a screen to show a window on, as far as the environment says."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window(Closing):
    """Shows pictures in a window. closed turns true when its user presses q or Esc, or closes it.

    Raises TrackerError where there is no display or OpenCV was built without windows.
    """

    def __init__(self, title: str) -> None:
        if not has_display():  # asked before OpenCV, which would end the process
            raise TrackerError("there is no display to show a window on: leave out --show or use --overlay FILE.mp4")
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise TrackerError(
                "this OpenCV was built without windows: install opencv-python instead of "
                "opencv-python-headless, or leave out --show"
            ) from error
        self._title = title
        self.closed = False

    def write(self, image_rgb: Image, timestamp_s: float) -> None:
        if self.closed:
            return
        cv2.imshow(self._title, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
        self.look()

    def look(self, wait_ms: int = 1) -> None:
        """Let the window draw itself and see what its user does; to be called even while there is no picture."""
        key = cv2.waitKey(wait_ms) & 0xFF
        self.closed = key in (ord("q"), 27) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        with contextlib.suppress(cv2.error):  # its user may have closed it
            cv2.destroyWindow(self._title)
