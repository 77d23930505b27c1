"""Shows pictures in a window."""

from __future__ import annotations

import contextlib
import os
import sys
import time

import cv2

from tracker.errors import TrackerError
from tracker.sinks.base import Closing, Image

LARGEST = (1920, 1080)
"""(width, height) in pixels of a new window at most; the user may make it larger."""

LOOK_MS = 50
"""Interval at which a waiting window checks for keys, in milliseconds."""


def has_display() -> bool:
    """Return whether there is a display for a window, as far as the environment variables tell."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window(Closing):
    """Shows pictures in a window of their size.

    Args:
        title: of the window.
        at_speed: whether each picture waits until it is due by its timestamp, for video files. After a late picture the
            following ones are not shown faster.

    Attributes:
        closed: whether the user has pressed q or Esc or closed the window.

    Raises:
        TrackerError: there is no display, or OpenCV was built without windows.
    """

    def __init__(self, title: str, at_speed: bool = False) -> None:
        if not has_display():  # checked first, because OpenCV would abort the process
            raise TrackerError("there is no display to show a window on: leave out --show or use --overlay FILE.mp4")
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise TrackerError(
                "this OpenCV was built without windows: install opencv-python instead of "
                "opencv-python-headless, or leave out --show"
            ) from error
        self._title = title
        self._at_speed = at_speed
        self._begin_s: float | None = None  # the clock's time at timestamp 0
        self.closed = False

    def write(self, image_rgb: Image, timestamp_s: float) -> None:
        """Show the next picture, see PictureSink.write."""
        if self._begin_s is None:
            self._begin_s = time.monotonic() - timestamp_s
            height, width = image_rgb.shape[:2]
            scale = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
            cv2.resizeWindow(self._title, max(1, round(width * scale)), max(1, round(height * scale)))
        if self._at_speed:
            self._wait(timestamp_s)
        if self.closed:
            return
        cv2.imshow(self._title, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
        self.look()

    def _wait(self, timestamp_s: float) -> None:
        """Wait until the picture is due."""
        assert self._begin_s is not None
        while not self.closed:
            left_s = self._begin_s + timestamp_s - time.monotonic()
            if left_s <= 0:
                self._begin_s -= left_s
                return
            self.look(max(1, min(LOOK_MS, int(1000 * left_s))))

    def look(self, wait_ms: int = 1) -> None:
        """Let the window redraw and check for keys; call it regularly, also while there is no new picture.

        Args:
            wait_ms: how long to wait for a key, in milliseconds.
        """
        key = cv2.waitKey(wait_ms) & 0xFF
        self.closed = key in (ord("q"), 27) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        """Close the window."""
        with contextlib.suppress(cv2.error):  # the user may have closed it
            cv2.destroyWindow(self._title)
