"""Live sources: the newest frame of a camera or stream, which is reconnected when it stalls or ends."""

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
LONGEST_S = 1e6  # a thread can wait this long on every platform
START_S = 30.0
"""How long a stream that is down at the start is waited for if a lost one is waited for without limit."""


@dataclass(frozen=True)
class ReconnectPolicy:
    """When a live source counts as lost, how often it is reopened, and when to give up; all in seconds.

    Args:
        stall_s: time without a picture after which the source counts as lost.
        retry_s: delay before the first attempt to reopen it; doubled after each failure.
        longest_retry_s: the upper limit of that delay.
        open_s: like stall_s, for the first picture of a connection: some drivers, and streams with rare key frames,
            need long.
        give_up_s: time without a picture after which iteration ends with an error. 0: at the first loss. inf: never,
            except that a stream that is down at the start is given up after START_S, because its name may be mistyped.

    Raises:
        TrackerError: for invalid times.
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
    """A source whose frames are read continuously by a thread; each read gives the newest one.

    Timestamps come from the monotonic clock when OpenCV had grabbed the picture, 0 at the first frame; delays of
    sensor, cable and driver are not included. Frame.index counts the frames that were given.

    A connection that ends, or stalls for longer than reconnect allows, is closed and reopened until it is back. Loss
    and return are logged as warnings, the time between is a gap, and `lost` is true meanwhile. A gap shows only in the
    timestamps: with the default ReconnectPolicy it is longer than a Tracker holds a face, so all tracks end.

    A read that never returns, as in OpenCV after some cameras are unplugged, is abandoned in its thread and replaced.
    Such a thread cannot be killed; it ends when the driver returns. MAX_STUCK_READERS of them end the source with an
    error.

    Frames must be read by one thread; any thread may call close(). Besides the constructor, iterating raises
    TrackerError: if no first picture comes within open_s, if the source does not come back within give_up_s, and if
    too many reads hang.

    Args:
        name: for messages.
        open_capture: opens the source; called here unless capture is given, later in the thread.
        reconnect: how long to wait; the defaults of ReconnectPolicy if None.
        capture: the source, if it is already open.
        await_start: a source that cannot be opened at the start counts as lost and is waited for.

    Raises:
        TrackerError: if the source cannot be opened.
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
        self._readers: list[Reader] = []  # those whose threads may still run
        self._end = weakref.finalize(self, _end, self._readers)  # also at exit, when a thread inside OpenCV would abort
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
        """Release the device and end the thread within CLOSE_S; warn about a thread that hangs in the driver."""
        with self._changed:
            self._closed, self._reader = True, None
            self._changed.notify_all()
        if left := self._end():
            log.warning("%s is closed, but %d reads of it still hang in the driver", self.name, left)

    def poll(self) -> Frame | None:
        """Return the newest frame without waiting; a lost source is retried.

        For a loop over several sources, or the event loop of a user interface. Raises like iterating.

        Returns:
            None if there is no frame that was not given before.
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
        """Return the seconds until the next timeout or retry."""
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
            log.warning("%s is available again after %.1f s without a frame", self.name, gap_s)
        self._awaited = False
        self.lost, self._retry_s, self._last_s = False, self._reconnect.retry_s, picture.grabbed_s
        self._given += 1
        return Frame(picture.image_rgb, picture.grabbed_s - self.started_s, self._given - 1)

    def _lose(self, reader: Reader) -> None:
        """Stop the reader and plan a retry; raise TrackerError if the source is given up, or the reader's error."""
        reader.stop()
        self._reader = None
        self._readers[:] = [r for r in self._readers if not (r.over or r.join(0))]
        if reader.failure is not None and not isinstance(reader.failure, (TrackerError, cv2.error)):
            raise reader.failure
        if self.started_s is None and not self._awaited:
            raise TrackerError(f"{self.name} was opened but gives no frames; check whether another program uses it")
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
                raise TrackerError(f"{self.name} was not available within {wait_s:g} s: {failure}")
            why = failure or "it gives no more frames"
            raise TrackerError(f"{self.name} was lost after {self._given} frames and did not return: {why}")
        if not self.lost:
            log.warning("%s was lost after %d frames; trying to reopen it", self.name, self._given)
        self.lost = True
        self._again_s = now_s + min(self._retry_s, hope_s)
        self._retry_s = min(2 * self._retry_s, self._reconnect.longest_retry_s)


def _end(readers: list[Reader]) -> int:
    """Stop the readers and return how many still hang in the driver after CLOSE_S."""
    for reader in readers:
        reader.stop()
    until_s = time.monotonic() + CLOSE_S
    return sum(not reader.join(max(0.0, until_s - time.monotonic())) for reader in readers)


class Stream(Live):
    """A live stream, see Live. One that is down at the start is waited for like one that was lost.

    Args:
        url: rtsp://, http:// with MJPEG, rtmp://, udp://, ...
        reconnect: how long to wait.
        capture: the stream, if it is already open.
    """

    def __init__(self, url: str, reconnect: ReconnectPolicy | None = None, capture: Capture | None = None) -> None:
        super().__init__(redact_source(url), lambda: open_url(url), reconnect, capture, await_start=True)
