"""The thresholds of tracking, in one documented place."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tracker.errors import TrackerError


@dataclass(frozen=True)
class TrackerConfig:
    """Thresholds of tracking: Tracker(config=TrackerConfig(max_jump=0.8)).

    The defaults suit webcams and videos of people; docs/guides/thresholds.md says when to change which. Lengths are
    in face sizes, the square root of the area of the landmarks' extent, so that they do not depend on the resolution.

    Attributes:
        detect_interval_s: seconds between two runs of the detector while every face is tracked. It looks for new faces
            and confirms the known ones. Without any face it runs in each frame.
        detect_interval_coasting_s: the same while a face coasts, which the detector may find elsewhere.
        defer_interval_s: in frames without a face that are at most so many seconds apart, a detection of another turn
            of the search than the first is measured in the next frames, so that no frame takes long.
        turn_interval_s: a frame takes one turn of the search for each of these intervals since the last one, at least
            one, so that slow sources find faces as soon.
        same_face_iou: two faces whose extents overlap by more (intersection over union) are one.
        turned_iou: the extents of a face measured the right way up and upside down overlap by more.
        min_reappear_iou: a coasting face that is found again overlaps the place where it was predicted by more.
        max_reappear_distance: and its landmarks lie nearer to the predicted ones on average, in face sizes.
        max_jump: landmarks farther from the predicted ones, in face sizes, are another face.
        max_motion_at_cut: the same in the first frame after a cut of the scene.
        velocity_time_s: time constant of the estimated velocity, in seconds; timestamps that jitter matter less.
        prediction_horizon_s: motion is predicted for this many seconds at most.
        max_unconfirmed: after so many runs of the detector in a row that did not see a face, another one may take its
            place.
        max_missed_after_cut: after so many frames in a row without a measurement since a cut, another face may take
            the place of a coasting one.
        replace_ratio: a face that ranks so many times higher takes the place of one that is tracked.
        cut_difference: mean difference of two pictures, of 255, from which on there may be a cut between them.
        cut_colour_difference: and the difference of their colour histograms, 0 to 2.
        confident_margin: a face is clearly visible from the score min_score + confident_margin * (1 - min_score) on.
            A new face below it is taken last, after the other turns of the search.
        unconfident_margin: a face that has never been clearly visible is tracked on from the score
            min_score + unconfident_margin * (1 - min_score) on.
        neutral_detector_score, best_detector_score, detector_weight: a new face needs the score min_score +
            detector_weight * (neutral_detector_score - d) * (1 - min_score), where d is the detector's score, at most
            best_detector_score: the surer the detector is, the less the landmark model must be.

    Raises:
        TrackerError: for a value that is not a finite number, or a negative one where that has no meaning.
    """

    detect_interval_s: float = 1.0
    detect_interval_coasting_s: float = 0.1
    defer_interval_s: float = 0.05
    turn_interval_s: float = 1 / 30
    same_face_iou: float = 0.4
    turned_iou: float = 0.1
    min_reappear_iou: float = 0.2
    max_reappear_distance: float = 0.6
    max_jump: float = 0.5
    max_motion_at_cut: float = 0.1
    velocity_time_s: float = 0.05
    prediction_horizon_s: float = 0.2
    max_unconfirmed: int = 3
    max_missed_after_cut: int = 2
    replace_ratio: float = 4.0
    cut_difference: float = 30.0
    cut_colour_difference: float = 0.2
    confident_margin: float = 1 / 3
    unconfident_margin: float = -1 / 2
    neutral_detector_score: float = 0.7
    best_detector_score: float = 0.8
    detector_weight: float = 3.0

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        for field in fields(self):
            value = getattr(self, field.name)
            finite = isinstance(value, (int, float)) and math.isfinite(value)
            if not finite or (value < 0 and field.name != "unconfident_margin"):
                raise TrackerError(f"TrackerConfig: {field.name} must be a finite number of at least 0, got {value!r}")
        if self.turn_interval_s < 0.001:
            raise TrackerError(f"TrackerConfig: turn_interval_s must be at least 0.001, got {self.turn_interval_s}")
