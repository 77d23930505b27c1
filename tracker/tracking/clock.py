"""The tracker's time: the frames' timestamps, checked, and corrected for small steps back."""

from __future__ import annotations

import logging
import statistics
from collections import deque

import numpy as np

from tracker.errors import TrackerError
from tracker.sources import Frame

log = logging.getLogger(__name__)

KEPT = 5  # the usual interval is the median of so many
FALLBACK_S = 1 / 30  # the interval until one is known
LONGEST_S = 3600.0  # a longer interval is a pause, not a frame rate
LARGEST_S = 1e15  # beyond, the resolution of a float is too low
SUSPECT_S = 4.0  # a longer usual interval suggests milliseconds: frames at 240 frames/s are 4.2 ms apart


class Clock:
    """Reads the frames' timestamps.

    Args:
        coast_s: a step back by at most so many seconds is an error of the clock: the faces are kept, and time goes on
            by the usual interval. After a longer step back, another video has begun and the tracks end.

    Attributes:
        interval_s: the usual time between two frames so far; 0 before the second one.
    """

    def __init__(self, coast_s: float) -> None:
        self.interval_s = 0.0
        self._coast_s = coast_s
        self._last_s: float | None = None
        self._ahead_s = 0.0  # how far this clock is ahead of the frames' timestamps
        self._steps_s: deque[float] = deque(maxlen=KEPT)
        self._said: set[str] = set()

    def __call__(self, frame: Frame) -> float:
        """Return the time of a frame in seconds; raise TrackerError if its timestamp is not a finite number."""
        stated_s: object = frame.timestamp_s
        if not isinstance(stated_s, (int, float, np.integer, np.floating)) or not -LARGEST_S < stated_s < LARGEST_S:
            raise TrackerError(
                f"frame {frame.index}: expected its timestamp_s in seconds as a finite number, got {stated_s!r}; the "
                "tracked faces are kept for the next frame"
            )
        now_s = float(stated_s) + self._ahead_s
        if self._last_s is not None:
            now_s = self._after(self._last_s, now_s, frame)
        self._last_s = now_s
        return now_s

    def _after(self, last_s: float, now_s: float, frame: Frame) -> float:
        step_s = now_s - last_s
        if step_s < 0:
            self._say(
                "back",
                f"the timestamp of frame {frame.index} is {-step_s:.3f} s before that of the frame before; smaller "
                f"steps back than {self._coast_s:g} s are taken as errors of the clock, others as another video, "
                "before which reset() should be called",
            )
        if -self._coast_s <= step_s < 0:
            mended_s = last_s + (self.interval_s or FALLBACK_S)
            self._ahead_s += mended_s - now_s
            return mended_s
        if step_s > 0:
            self._steps_s.append(step_s)
            usual_s = statistics.median_low(self._steps_s)
            self.interval_s = usual_s if usual_s <= LONGEST_S else 0.0
            if usual_s > SUSPECT_S and len(self._steps_s) >= 3:
                self._say(
                    "apart",
                    f"the frames are {usual_s:g} s apart by their timestamps, which are taken as seconds; divide "
                    "milliseconds by 1000",
                )
        return now_s

    def _say(self, kind: str, sentence: str) -> None:
        """Log a warning, each kind only once."""
        if kind not in self._said:
            self._said.add(kind)
            log.warning("%s", sentence)
