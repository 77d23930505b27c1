"""What is wanted of a view depends on whether the face is new, and on how sure the detector is of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tracker import Frame, Tracker
from tracker.detectors.base import Detection
from tracker.detectors.yunet import CALIBRATION
from tracker.engines.base import Engine, EngineOutput
from tracker.tracking.presence import Presence

SCORES = st.floats(0, 1)


@given(SCORES, SCORES, SCORES)
def test_less_is_wanted_where_the_detector_is_surer(min_score: float, one: float, other: float) -> None:
    presence = Presence(min_score)
    low, high = sorted((one, other))
    assert 0 <= presence.of_new(high) <= presence.of_new(low) <= 1
    assert presence.of_followed(False) <= presence.of_followed(True) == min_score <= presence.sure <= 1


@given(SCORES, SCORES, SCORES)
def test_a_higher_threshold_wants_no_less(one: float, other: float, detector_score: float) -> None:
    low, high = (Presence(score) for score in sorted((one, other)))
    assert low.of_new(detector_score) <= high.of_new(detector_score) + 1e-12
    assert low.of_followed(False) <= high.of_followed(False) + 1e-12


@given(SCORES)
def test_a_face_that_was_just_found_is_followed_on(min_score: float) -> None:
    """A face that keeps its score is not lost in the next frame, however little it was found with."""
    presence = Presence(min_score)
    assert presence.of_followed(False) <= presence.of_new(1.0) <= presence.of_new(0.0)


def test_the_values_that_are_documented() -> None:
    presence = Presence(0.894)
    assert [round(presence.of_new(score), 3) for score in (0.6, 0.7, 0.8, 0.9)] == [0.926, 0.894, 0.862, 0.862]
    assert round(presence.sure, 3) == 0.929
    assert round(presence.of_followed(False), 3) == 0.841


class Scoring:
    """An engine that gives every view the score that is set, and a real engine's landmarks."""

    def __init__(self, engine: Engine, score: float) -> None:
        self.engine, self.score, self.spec = engine, score, engine.spec

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        output = self.engine.run(crops)
        return EngineOutput(output.points_px, np.full_like(output.scores, self.score), output.covariances_px2)


class Surely:
    """Another detector's faces, with the score that is set."""

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self, detector: object, score: float) -> None:
        self.detector, self.score = detector, score

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[Detection]:
        return [Detection(d.box_px, self.score, d.eyes_px) for d in self.detector.detect(image_rgb)]  # type: ignore[attr-defined]


def test_a_doubtful_face_is_found_followed_and_then_held_to_more(
    make_tracker: Callable[..., Tracker], frames: list[Frame]
) -> None:
    """Found below min_score where the detector is sure of it; once it scored high, it needs min_score as others do."""
    plain = make_tracker()
    engine, detector = Scoring(plain.engine, 0.87), Surely(plain.detector, 0.9)
    tracker = make_tracker(detector, model=engine, min_score=0.894)

    def states(*scores: float) -> list[str]:
        shown = []
        for score in scores:
            engine.score = score
            result = tracker.step(frames[3 + len(shown)])
            shown.append(result.faces[0].state if result.faces else "none")
        return shown

    assert states(0.87, 0.85, 0.95, 0.87) == ["tracking", "tracking", "tracking", "coasting"]
    detector.score = 0.6
    tracker.reset()
    assert states(0.91, 0.93) == ["none", "tracking"]
