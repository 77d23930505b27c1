"""The time by which faces are followed: that of the frames, checked, and mended where it runs back a little."""

from __future__ import annotations

import logging
import statistics
from collections import deque

import numpy as np

from tracker.errors import TrackerError
from tracker.sources import Frame

log = logging.getLogger(__name__)

KEPT = 5  # steps of the time, whose median is the usual interval
FALLBACK_S = 1 / 30  # where no interval is known yet
LONGEST_S = 3600.0  # two frames farther apart are no frame rate, but a pause
LARGEST_S = 1e15  # beyond, a float cannot tell two frames apart
SUSPECT_S = 4.0  # frames that are usually farther apart may state milliseconds: 240 frames/s are 4.2 ms apart


class Clock:
    """Reads the frames' timestamps.

    coast_s: time that runs back by no more is taken as a small error: the faces are kept, and the clock goes on by the
    usual interval. Time that runs back farther is another video: the faces are given up.
    interval_s: the usual time between two frames so far, 0 before the second one.
    """

    def __init__(self, coast_s: float) -> None:
        self.interval_s = 0.0
        self._coast_s = coast_s
        self._last_s: float | None = None
        self._ahead_s = 0.0  # of this clock, before the frames' timestamps
        self._steps_s: deque[float] = deque(maxlen=KEPT)
        self._said: set[str] = set()

    def __call__(self, frame: Frame) -> float:
        """The time of a frame in seconds. Raises TrackerError for a timestamp that is no finite number."""
        stated_s: object = frame.timestamp_s
        if not isinstance(stated_s, (int, float, np.integer, np.floating)) or not -LARGEST_S < stated_s < LARGEST_S:
            raise TrackerError(
                f"frame {frame.index}: expected its timestamp_s in seconds as a finite number, got {stated_s!r}; the "
                "faces that are followed are kept for the next frame"
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
        """Once a run for each kind, however many frames it is true of."""
        if kind not in self._said:
            self._said.add(kind)
            log.warning("%s", sentence)
