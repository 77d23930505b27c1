"""Live: the newest frame of a camera or stream, which may stall, die and come back."""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass

import cv2

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sources.base import Source
from tracker.sources.capture import Capture, open_url, stated_fps
from tracker.sources.frame import Frame
from tracker.sources.reader import Picture, Reader

log = logging.getLogger(__name__)

MAX_STUCK_READERS = 4
CLOSE_S = 2.0
LONGEST_S = 1e6  # that a thread can be told to wait everywhere
START_S = 30.0
"""How long a stream that is down at the start is waited for, where one that is lost is waited for without end."""


@dataclass(frozen=True)
class ReconnectPolicy:
    """How long a live source is waited for, in seconds.

    stall_s: without a picture, after which it counts as lost. open_s: the same for a connection's first picture,
    which some drivers, and streams with rare key frames, are long about. retry_s: before the first attempt to get it
    back, doubled with each that fails up to longest_retry_s. give_up_s: without a picture, after which frames end with
    an error; 0: at the first loss; inf: never, but a stream that is down at the start is given up after START_S, as its
    name may be mistyped. Raises TrackerError for times that cannot be.
    """

    stall_s: float = 5.0
    retry_s: float = 0.5
    longest_retry_s: float = 10.0
    open_s: float = 20.0
    give_up_s: float = math.inf

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (value >= 0 if name == "give_up_s" else 0 < value <= LONGEST_S):
                bounds = "0 or more" if name == "give_up_s" else f"above 0 and at most {LONGEST_S:g}"
                raise TrackerError(f"{name} must be a number of seconds, {bounds}, got {value}")


class Live(Source):
    """A source that does not wait: a thread reads it without pause, and the newest picture is the next frame.

    Timestamps: the monotonic clock when OpenCV had grabbed the picture, 0 at the first frame; what sensor, cable and
    driver took before is not in them. Index: counts the frames that were given. losses: pictures dropped and
    unreadable, and gaps.

    A connection that ends, or stalls for longer than reconnect allows, is given up and opened again until it is back;
    loss and return are logged as warnings, the time between is a gap, and lost is true meanwhile. The frame after a gap
    is told by its timestamp alone: with the default ReconnectPolicy the gap is longer than a Tracker holds a face, so
    all tracks end.
    A read that never returns, as in OpenCV after some unplugs, is left behind in its thread and replaced; such a thread
    cannot be killed, it ends when the driver returns. MAX_STUCK_READERS of them end the source with an error.

    open_capture opens it: here, unless capture is it, opened already, and later in the thread. await_start: one that
    cannot be opened here counts as lost. Frames are asked for by one thread; close() may come from any.
    Raises TrackerError when the source cannot be opened; iterating, when it gives no first picture within open_s, when
    it did not come back within give_up_s, and when too many reads hang.
    """

    def __init__(
        self,
        name: str,
        open_capture: Callable[[], Capture],
        reconnect: ReconnectPolicy | None = None,
        capture: Capture | None = None,
        await_start: bool = False,
    ) -> None:
        self._open = open_capture
        self._reconnect = reconnect or ReconnectPolicy()
        self._changed = threading.Condition()
        self._closed = False
        self._given = 0
        self._last_s = time.monotonic()
        self._retry_s = self._reconnect.retry_s
        self._readers: list[Reader] = []  # all whose threads may still run
        self._end = weakref.finalize(self, _end, self._readers)  # at exit too: a thread that is in OpenCV then aborts
        first = capture or self._open_first(await_start)
        self.lost = first is None
        self._awaited = first is None  # until its first picture
        super().__init__(name, None, None if first is None else stated_fps(first), live=True)
        self._reader: Reader | None = None if first is None else self._read_by_thread(lambda: first)
        self._again_s = time.monotonic() + self._reconnect.retry_s  # when to try again, while there is no reader

    def _open_first(self, await_start: bool) -> Capture | None:
        try:
            return self._open()
        except TrackerError as error:
            if not await_start or self._reconnect.give_up_s == 0:
                raise
            log.warning("%s Trying again", error)
            return None

    def _read_by_thread(self, open_capture: Callable[[], Capture]) -> Reader:
        reader = Reader(self.name, open_capture, self._changed, self.losses)
        self._readers.append(reader)
        return reader

    def close(self) -> None:
        """Free the device and end the thread, within CLOSE_S; one that hangs in the driver is left with a warning."""
        with self._changed:
            self._closed, self._reader = True, None
            self._changed.notify_all()
        if left := self._end():
            log.warning("%s is closed, but %d reads of it still hang in the driver", self.name, left)

    def poll(self) -> Frame | None:
        """The newest frame if it was not given yet, else None; never waits, and keeps a lost source being retried.

        For one loop over several sources, or a user interface that has a loop of its own. Raises like iterating.
        """
        with self._changed:
            if self._closed:
                return None
            if self._reader is None:
                if time.monotonic() >= self._again_s:
                    self._reader = self._read_by_thread(self._open)
                return None
            picture = self._reader.take()
            if picture is None and (self._reader.over or self._left_s() <= 0):
                self._lose(self._reader)
        return None if picture is None else self._frame(picture)

    def _read(self) -> Generator[Frame, None, None]:
        while not self._closed:
            with self._changed:
                frame = self.poll()
                if frame is None and not self._closed:
                    self._changed.wait(max(0.0, self._left_s()))
            if frame is not None:
                yield frame

    def _left_s(self) -> float:
        """Seconds until something must be done even if nothing happens."""
        if self._reader is None:
            return self._again_s - time.monotonic()
        allowed_s = self._reconnect.stall_s if self._reader.begun else self._reconnect.open_s
        return allowed_s - self._reader.silent_s()

    def _frame(self, picture: Picture) -> Frame:
        if self.started_s is None:
            self.started_s = picture.grabbed_s
        if self.lost and not self._awaited:
            gap_s = picture.grabbed_s - self._last_s
            self.losses.gaps += 1
            self.losses.gap_s += gap_s
            log.warning("%s is back after %.1f s without a picture", self.name, gap_s)
        self._awaited = False
        self.lost, self._retry_s, self._last_s = False, self._reconnect.retry_s, picture.grabbed_s
        self._given += 1
        return Frame(picture.image_rgb, picture.grabbed_s - self.started_s, self._given - 1)

    def _lose(self, reader: Reader) -> None:
        """Give the reader up and plan the next. Raises TrackerError where there is no hope, or what it failed with."""
        reader.stop()
        self._reader = None
        self._readers[:] = [r for r in self._readers if not (r.over or r.join(0))]
        if reader.failure is not None and not isinstance(reader.failure, (TrackerError, cv2.error)):
            raise reader.failure
        if self.started_s is None and not self._awaited:
            raise TrackerError(f"{self.name} was opened but delivers no picture: does another program use it?")
        if len(self._readers) >= MAX_STUCK_READERS:
            raise TrackerError(f"{self.name}: {MAX_STUCK_READERS} reads hang in its driver; unplug it and start again")
        self._plan_retry(reader.failure)

    def _plan_retry(self, failure: Exception | None) -> None:
        now_s = time.monotonic()
        wait_s = self._reconnect.give_up_s
        if self._awaited and math.isinf(wait_s):
            wait_s = START_S
        hope_s = self._last_s + wait_s - now_s
        if hope_s <= 0:
            if self._awaited:
                raise TrackerError(f"{self.name} did not come within {wait_s:g} s: {failure}")
            why = failure or "it gives no more pictures"
            raise TrackerError(f"{self.name} was lost after {self._given} frames and did not come back: {why}")
        if not self.lost:
            log.warning("%s was lost after %d frames; trying to get it back", self.name, self._given)
        self.lost = True
        self._again_s = now_s + min(self._retry_s, hope_s)
        self._retry_s = min(2 * self._retry_s, self._reconnect.longest_retry_s)


def _end(readers: list[Reader]) -> int:
    """Stop the readers; how many still hang in the driver after CLOSE_S."""
    for reader in readers:
        reader.stop()
    until_s = time.monotonic() + CLOSE_S
    return sum(not reader.join(max(0.0, until_s - time.monotonic())) for reader in readers)


class Stream(Live):
    """A live stream by its URL: rtsp://, http:// with MJPEG, rtmp://, udp://, ... See Live.

    One that is down at the start is waited for like one that was lost.
    """

    def __init__(self, url: str, reconnect: ReconnectPolicy | None = None, capture: Capture | None = None) -> None:
        super().__init__(redact_source(url), lambda: open_url(url), reconnect, capture, await_start=True)
