"""When to run the detector."""

from __future__ import annotations

import math

from tracker.tracking.config import TrackerConfig


class DetectionSchedule:
    """Decides when the detector is due: in each frame without a face, and at intervals otherwise.

    Args:
        config: the intervals.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self._last_s = -math.inf

    def is_due(self, measured: int, coasting: int, now_s: float) -> bool:
        """Whether to detect at this time.

        Args:
            measured: how many faces were measured in this frame.
            coasting: how many were not.
            now_s: the time of the frame, in seconds.
        """
        interval_s = self.config.detect_interval_coasting_s if coasting else self.config.detect_interval_s
        return measured == 0 or not 0 <= now_s - self._last_s < interval_s

    def note_detection(self, now_s: float) -> None:
        """Note that the detector runs."""
        self._last_s = now_s
