"""Which scores of the landmark model a face needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker.tracking.config import TrackerConfig


@dataclass(frozen=True)
class ScoreThresholds:
    """The scores, 0..1, that a face needs, new or tracked.

    All follow from min_score, the score that a tracked face needs: they are given as a part of the way from there to 1.
    The parts were chosen on 300 portraits of FairFace, 250 portraits cut into shuffled blocks, and 289 pictures of
    animals and things.

    Attributes:
        min_score: what a tracked face needs.
        config: the parts.
    """

    min_score: float
    config: TrackerConfig = field(default_factory=TrackerConfig)

    @property
    def confident(self) -> float:
        """From this score on a face is clearly visible, and a new one is taken before other searches are tried."""
        return self._above(self.config.confident_margin)

    def of_new(self, detector_score: float) -> float:
        """Return what a new face needs: the less, the surer the detector is.

        The detector and the landmark model look at the same face independently, so one can make up for the other:
        the model scores turned and covered faces low which detectors find clearly.
        """
        config = self.config
        detected = min(detector_score, config.best_detector_score)
        return self._above(config.detector_weight * (config.neutral_detector_score - detected))

    def of_tracked(self, confident: bool) -> float:
        """Return what a tracked face needs: less while it has never been clearly visible."""
        return self.min_score if confident else self._above(self.config.unconfident_margin)

    def _above(self, part: float) -> float:
        return min(max(self.min_score + part * (1 - self.min_score), 0.0), 1.0)
