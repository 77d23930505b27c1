"""When to run the detector."""

from __future__ import annotations

import math


class DetectionSchedule:
    """When to run the detector: in every frame without a face; every hurry_s while one coasts, which it may find
    elsewhere; else every interval_s, for newcomers and for what is no face any more."""

    def __init__(self, interval_s: float = 1.0, hurry_s: float = 0.1) -> None:
        self.interval_s = interval_s
        self.hurry_s = hurry_s
        self._last_s = -math.inf

    def due(self, measured: int, coasting: int, timestamp_s: float) -> bool:
        """Whether to detect at this time, given how many faces have just been measured, and how many could not be."""
        wait_s = self.hurry_s if coasting else self.interval_s
        return measured == 0 or not 0 <= timestamp_s - self._last_s < wait_s

    def detected(self, timestamp_s: float) -> None:
        """Note that the detector has run."""
        self._last_s = timestamp_s
