"""How sure the landmark model must be that a view shows a face."""

from __future__ import annotations

from dataclasses import dataclass

SURE = 1 / 3
DOUBTED = -1 / 2
PLAIN, BEST = 0.7, 0.8  # of a detector's score: few false faces are above the first, and few faces below it in any turn
WEIGHT = 3.0
"""Chosen on 300 portraits of FairFace, 250 portraits cut into shuffled blocks, and 289 pictures of animals
and things."""


@dataclass(frozen=True)
class Presence:
    """The scores, 0..1, that are wanted of a view; min_score is that of a face that is followed.

    The others are given by how far they lie above min_score, as a part of the way from there to 1.
    """

    min_score: float

    @property
    def sure(self) -> float:
        """From this score on a new face is taken for one before other searches have been tried."""
        return self._above(SURE)

    def of_new(self, detector_score: float) -> float:
        """What is wanted of a new face: the less, the surer the detector is of it.

        The detector and the landmark model look at the same face independently, so what one of them lacks the other
        may make up for: turned and covered faces, which the model scores low, are plain to the detectors.
        """
        return self._above(WEIGHT * (PLAIN - min(detector_score, BEST)))

    def of_followed(self, sure: bool) -> float:
        """What is wanted of a face to be followed on; less while it has never scored as a sure one."""
        return self.min_score if sure else self._above(DOUBTED)

    def _above(self, part: float) -> float:
        return min(max(self.min_score + part * (1 - self.min_score), 0.0), 1.0)
