"""What the tests of the desktop share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tracker.errors import TrackerError
from tracker.sources.demo import DemoClip

WAIT_S = 60.0  # reached only by a test that fails, on a slow machine


def until(ready: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait for something, and do something meanwhile."""
    end_s = time.monotonic() + WAIT_S
    while not ready():
        assert time.monotonic() < end_s, "it never came"
        meanwhile()
        time.sleep(0.005)


class FakeCamera:
    """In the place of a camera, which is not at hand: pictures of the demo clip while it is plugged in.

    most_open: how many captures of it were open at one time.
    """

    def __init__(self) -> None:
        self.plugged = True
        self.most_open = 0
        self._open = 0
        self._lock = threading.Lock()
        self._picture = DemoClip((160, 120)).picture(0)[..., ::-1].copy()

    def open(self) -> FakeCameraCapture:
        if not self.plugged:
            raise TrackerError("the fake camera could not be opened")
        self.count(1)
        return FakeCameraCapture(self)

    def count(self, change: int) -> None:
        with self._lock:
            self._open += change
            self.most_open = max(self.most_open, self._open)

    def grab(self) -> bool:
        time.sleep(0.01)
        return self.plugged

    def picture(self) -> Any:
        return self._picture.copy()


class FakeCameraCapture:
    """What cv2.VideoCapture is to a camera."""

    def __init__(self, camera: FakeCamera) -> None:
        self._camera = camera

    def grab(self) -> bool:
        return self._camera.grab()

    def retrieve(self) -> tuple[bool, Any]:
        return True, self._camera.picture()

    def get(self, propId: int) -> float:  # noqa: N803
        return 0.0

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        return False

    def release(self) -> None:
        self._camera.count(-1)
