"""Whom the tracker follows, where there are more faces than it may: real faces, and a detector that knows where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker import Frame, Tracker, TrackerError
from tracker.detectors.base import Detection
from tracker.detectors.yunet import CALIBRATION
from tracker.sources.demo import DemoClip
from tracker.tracking.config import TrackerConfig
from tracker.tracking.ranking import RANKINGS, rank_detections, ranking_of

Image = NDArray[np.uint8]
SIDES = (160, 60, 90)  # of the three places, in pixels: each face's own size


class Stage:
    """A grey picture with the demo's face at three places, each of its own size; and what a detector says of it."""

    name = "yunet"
    calibration = CALIBRATION
    corners = ((40, 60), (330, 10), (230, 130))

    def __init__(self, clip: DemoClip, truth: Detection) -> None:
        x, y, side, _ = truth.box_px + np.array([-0.25, -0.25, 0.5, 0.5]) * truth.box_px[2]
        self._face = clip.picture(3)[round(y) : round(y + side), round(x) : round(x + side)]
        self._box = np.array([truth.box_px[0] - round(x), truth.box_px[1] - round(y), *truth.box_px[2:]])
        self._eyes = truth.eyes_px - (round(x), round(y))
        self._shown: dict[int, tuple[int, ...]] = {}
        self.scores = (0.7, 0.8, 0.9)

    def picture(self, *places: int) -> Image:
        image: Image = np.full((240, 420, 3), 120, np.uint8)
        for place in places:
            (x, y), side = self.corners[place], SIDES[place]
            image[y : y + side, x : x + side] = cv2.resize(self._face, (side, side), interpolation=cv2.INTER_AREA)
        self._shown[hash(image.tobytes())] = places
        return image

    def detect(self, image_rgb: Image) -> list[Detection]:
        found = [self._at(place) for place in self._shown.get(hash(image_rgb.tobytes()), ())]
        return sorted(found, key=lambda face: -face.score)

    def _at(self, place: int) -> Detection:
        scale, corner = SIDES[place] / self._face.shape[0], np.array(self.corners[place])
        box = np.concatenate([self._box[:2] * scale + corner, self._box[2:] * scale])
        return Detection(box, self.scores[place], self._eyes * scale + corner)


@pytest.fixture
def stage(clip: DemoClip, fake_detector: Any) -> Stage:
    return Stage(clip, fake_detector.truth(3))


def watch(tracker: Tracker, pictures: Iterable[Image]) -> list[dict[int, int]]:
    """By frame, the id and the place of each face that was measured."""
    middles = np.array(Stage.corners) + np.array(SIDES)[:, None] / 2
    seen = []
    for n, picture in enumerate(pictures):
        faces = [f for f in tracker.step(Frame(picture, n / 30, n)).faces if f.state == "tracking"]
        away = {f.id: np.linalg.norm(middles - f.raw.points_px.mean(0), axis=1) for f in faces}
        assert all(distances.min() < 25 for distances in away.values())
        seen.append({number: int(distances.argmin()) for number, distances in away.items()})
    return seen


@pytest.mark.parametrize(("follow", "first"), [("largest", 0), ("confident", 2), ("central", 2)])
def test_which_is_taken_first(follow: Any, first: int, stage: Stage, make_tracker: Callable[..., Tracker]) -> None:
    assert watch(make_tracker(stage, follow=follow), [stage.picture(1, 0, 2)] * 2) == [{1: first}] * 2


@pytest.mark.parametrize("hidden", [1, 3, 14])
def test_a_hidden_face_keeps_its_place_and_its_id(
    hidden: int, stage: Stage, make_tracker: Callable[..., Tracker]
) -> None:
    pictures = [stage.picture(0, 1)] * 3 + [stage.picture(1)] * hidden + [stage.picture(0, 1)] * 3
    assert watch(make_tracker(stage), pictures) == [{1: 0}] * 3 + [{}] * hidden + [{1: 0}] * 3


def test_one_of_two_that_is_hidden_keeps_its_place(stage: Stage, make_tracker: Callable[..., Tracker]) -> None:
    pictures = [stage.picture(0, 1, 2)] * 3 + [stage.picture(0, 1)] * 10 + [stage.picture(0, 1, 2)] * 5
    seen = watch(make_tracker(stage, max_faces=2), pictures)
    assert seen[2] == seen[-1] == {1: 0, 2: 2}
    assert all(faces == {1: 0} for faces in seen[3:13])


def test_another_is_taken_when_it_is_given_up_and_leaves_when_it_is_back(
    stage: Stage, make_tracker: Callable[..., Tracker]
) -> None:
    """The one in the background has less than a quarter of its area."""
    pictures = [stage.picture(0, 1)] * 3 + [stage.picture(1)] * 20 + [stage.picture(0, 1)] * 32
    seen = watch(make_tracker(stage), pictures)
    assert (seen[2], seen[16], seen[22], seen[-1]) == ({1: 0}, {}, {2: 1}, {3: 0})


def test_who_is_nearly_as_large_does_not_displace(stage: Stage, make_tracker: Callable[..., Tracker]) -> None:
    assert (SIDES[0] / SIDES[2]) ** 2 < TrackerConfig().replace_ratio
    seen = watch(make_tracker(stage), [stage.picture(2)] * 3 + [stage.picture(0, 2)] * 40)
    assert seen == [{1: 2}] * 43


def test_every_box_is_tried(stage: Stage, make_tracker: Callable[..., Tracker]) -> None:
    """The largest box holds no face."""
    picture = stage.picture(1, 2)
    nothing = Detection(np.array([10.0, 60, 170, 170]), 0.95, np.array([[70.0, 110], [120, 110]]))
    real, stage.detect = stage.detect, lambda image: [nothing, *real(image)]  # type: ignore[method-assign]
    assert watch(make_tracker(stage), [picture] * 2) == [{1: 2}] * 2


@pytest.mark.parametrize(("fps", "hold_s"), [(1.0, 0.5), (1.9, 0.0), (0.1, 0.5)])
def test_slow_sources_keep_ids(fps: float, hold_s: float, stage: Stage, make_tracker: Callable[..., Tracker]) -> None:
    tracker, picture = make_tracker(stage, hold_s=hold_s), stage.picture(0)
    assert [[f.id for f in tracker.step(Frame(picture, n / fps, n)).faces] for n in range(6)] == [[1]] * 6


def test_how_long_a_face_is_held(stage: Stage, make_tracker: Callable[..., Tracker]) -> None:
    tracker = make_tracker(stage, hold_s=2.0)
    pictures = [stage.picture(0)] * 2 + [stage.picture()] * 45 + [stage.picture(0)]
    assert watch(tracker, pictures)[-1] == {1: 0}


def test_a_frame_without_a_time_leaves_the_tracker_usable(stage: Stage, make_tracker: Callable[..., Tracker]) -> None:
    tracker, picture = make_tracker(stage), stage.picture(0)
    tracker.step(Frame(picture, 0.0, 0))
    with pytest.raises(TrackerError, match="frame 1: expected its timestamp_s"):
        tracker.step(Frame(picture, float("nan"), 1))
    assert [face.id for face in tracker.step(Frame(picture, 2 / 30, 2)).faces] == [1]


def test_ranks() -> None:
    large, middle, sure = (
        Detection(np.array([x, y, side, side], float), score, np.zeros((2, 2)))
        for x, y, side, score in ((0, 0, 80, 0.7), (90, 90, 20, 0.7), (150, 20, 20, 0.9))
    )
    for follow, first in zip(RANKINGS, (large, middle, sure)):
        (rank, best), *others = rank_detections([sure, middle, large], ranking_of(follow), (200, 200, 3))
        assert best is first
        assert all(rank > other for other, _ in others)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"follow": "biggest"}, "follow: expected one of largest, central, confident, got 'biggest'"),
        ({"follow": []}, r"follow: expected one of largest, central, confident, got \[\]"),
        ({"hold_s": -1.0}, "hold_s must be a number of seconds of at least 0, got -1.0"),
        ({"hold_s": float("nan")}, "hold_s must be a number of seconds of at least 0, got nan"),
        ({"hold_s": "0.5"}, "hold_s must be a number of seconds of at least 0, got '0.5'"),
        ({"hold_s": None}, "hold_s must be a number of seconds of at least 0, got None"),
        ({"min_score": "high"}, r"min_score must be in 0\.\.1, got 'high'"),
        ({"model": 5}, "model: expected the path of a file, the name of a packaged model or an engine, got 5"),
        ({"model": ""}, "landmark model: expected .*, got .$"),
        ({"detector_model": b"x"}, "detector_model: expected the path of a file, got b'x'"),
        ({"detector_model": ""}, "cannot read the model: it is a folder"),
        ({"coast_frames": -1}, "coast_frames must be a whole number in 0..1000000, got -1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrackerError, match=message):
        Tracker(**options)
