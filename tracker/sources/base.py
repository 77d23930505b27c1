"""Source, the base class of everything that gives frames; counts of lost frames; monotonic timestamps."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracker.sources.frame import Frame

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

FALLBACK_FPS = 30.0


@dataclass
class Losses:
    """Counts of frames that a source could not give, so far.

    Attributes:
        dropped: pictures of a live source that were replaced by a newer one before they were read, not counting those
            before the first read.
        unreadable: pictures that could not be decoded.
        gaps: how often a live source was lost and came back.
        gap_s: seconds without a picture, summed over all gaps.
    """

    dropped: int = 0
    unreadable: int = 0
    gaps: int = 0
    gap_s: float = 0.0

    def __str__(self) -> str:
        gaps = "1 gap" if self.gaps == 1 else f"{self.gaps} gaps"
        lengths = f" of {self.gap_s:.1f} s in all" if self.gaps else ""
        return f"{self.dropped} frames dropped, {self.unreadable} unreadable, {gaps}{lengths}"


class Source(Iterator[Frame]):
    """An iterator of frames and a context manager; leaving it, or close(), releases the device or file.

    Timestamps strictly increase; those of a container or an application that do not are corrected, see Timeline.

    Args:
        name: for messages.
        frame_count: how many frames to expect; None if unknown.
        fps: frames per second; None if unknown.
        live: frames that are not read in time are dropped.

    Attributes:
        losses: counts of frames that could not be given so far.
        started_s: the monotonic clock (time.monotonic) at timestamp 0 of a live source; None before its first frame
            and for other sources. A frame was grabbed at `started_s + frame.timestamp_s`.
    """

    def __init__(self, name: str, frame_count: int | None, fps: float | None, live: bool = False) -> None:
        self.name = name
        self.frame_count = frame_count
        self.fps = fps
        self.live = live
        self.losses = Losses()
        self.started_s: float | None = None
        self._frames = self._read()

    @abstractmethod
    def _read(self) -> Generator[Frame, None, None]: ...

    def close(self) -> None:
        """Release the device or file; there are no more frames."""
        self._frames.close()

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Timeline:
    """Makes stated times strictly increasing, in seconds since the first.

    A time that repeats the last one, decreases or is NaN is replaced by the last one plus interval_s, and later times
    continue from there. So a clip whose times restart in the middle goes on, and one without times is timed by its
    frame rate. The first correction is logged as a warning; `mended` counts all.

    A time of exactly 0 after the first frame is a missing time: OpenCV states it for a frame whose time the container
    does not give, such as the last one of many MPEG files. It does not shift later times, and the first such frame
    causes no warning.

    Args:
        name: the source's, for the warning.
        interval_s: seconds between two frames.
    """

    def __init__(self, name: str, interval_s: float) -> None:
        self.mended = 0
        self._said = False
        self._name = name
        self._interval_s = interval_s
        self._last_s = -math.inf
        self._zero_s = 0.0  # the stated time that counts as 0

    def __call__(self, stated_s: float) -> float:
        """Return the corrected time for the next stated one, both in seconds."""
        if self._last_s == -math.inf:
            self._zero_s = stated_s if math.isfinite(stated_s) else 0.0
            self._last_s = 0.0
        elif math.isfinite(stated_s) and stated_s - self._zero_s > self._last_s:
            self._last_s = stated_s - self._zero_s
        else:
            self._mend(stated_s)
        return self._last_s

    def _mend(self, stated_s: float) -> None:
        missing = stated_s == 0 and self._last_s + self._zero_s > 0
        if not (self._said or (missing and not self.mended)):
            self._said = True
            log.warning(
                "%s states %.3f s after %.3f s; such frames are taken as %.3f s apart",
                self._name, stated_s, self._last_s + self._zero_s, self._interval_s,
            )  # fmt: skip
        self.mended += 1
        self._last_s = max(
            self._last_s + self._interval_s, math.nextafter(self._last_s, math.inf)
        )  # interval_s may be 0
        if math.isfinite(stated_s) and not missing:
            self._zero_s = stated_s - self._last_s
