"""Tracker(detector=mine): what a detector of one's own may return, and what is said of one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tracker.conftest import FakeDetector
from tracker import BoxCalibration, Detection, Frame, Tracker, TrackerError
from tracker.detectors.base import LANDMARKS_BOX, CalibratedDetector
from tracker.detectors.checked import CheckedDetector
from tracker.detectors.yunet import CALIBRATION, YuNet
from tracker.engines.base import Engine
from tracker.sources.demo import DemoClip

Image = NDArray[np.uint8]
BOX, EYES = (10, 20, 100, 110), ((40, 60), (80, 60))


class Mine:
    """Finds what it is told to, in every picture. It has no name and no calibration."""

    def __init__(self, found: object) -> None:
        self.found = found

    def detect(self, image_rgb: Image) -> Any:
        return self.found


def face(box: Any = BOX, score: Any = 0.9, eyes: Any = EYES) -> Detection:
    return Detection(box, score, eyes)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Tracker().engine


class Nameless:
    """Another detector without its name and its calibration, unless they are given."""

    def __init__(self, detector: CalibratedDetector) -> None:
        self._detector = detector

    def detect(self, image_rgb: Image) -> list[Detection]:
        return self._detector.detect(image_rgb)


class TestGood:
    def test_with_yunets_calibration_it_is_yunet(self, frames: list[Frame], engine: Engine) -> None:
        """The same results to the bit as of the packaged detector, through all of the clip."""
        mine = Nameless(YuNet())
        mine.calibration = CALIBRATION  # type: ignore[attr-defined]
        own, packaged = (Tracker(engine, detector=each) for each in (mine, "yunet"))  # type: ignore[arg-type]
        for frame in frames[:20] + frames[46:]:
            assert own.step(frame).to_json() == packaged.step(frame).to_json()

    def test_a_box_around_the_landmarks_needs_no_calibration(self, clip: DemoClip, engine: Engine) -> None:
        class AroundLandmarks:
            def detect(self, image_rgb: Image) -> list[Detection]:
                low, high = points.min(0), points.max(0)
                eyes = np.stack([points[36:42].mean(0), points[42:48].mean(0)])
                return [Detection(np.concatenate([low, high - low]), 1.0, eyes)]

        for index in (0, 30, 80):
            points = clip.truth_px(index)
            (found,) = Tracker(engine, detector=AroundLandmarks()).detect(clip.picture(index)).faces
            away = np.linalg.norm(found.landmarks.points_px - points, axis=1).mean()
            assert away < 0.05 * np.linalg.norm(points[36] - points[45])

    def test_name_and_calibration(self) -> None:
        plain = CheckedDetector(Mine([]))
        assert (plain.name, plain.calibration) == ("Mine", LANDMARKS_BOX)
        named = Mine([])
        named.name, named.calibration = "kiosk", BoxCalibration(0.1, 0.2, 1.3)  # type: ignore[attr-defined]
        checked = CheckedDetector(named)
        assert (checked.name, checked.calibration) == ("kiosk", BoxCalibration(0.1, 0.2, 1.3))

    def test_the_tracker_shows_it(self, engine: Engine, fake_detector: FakeDetector) -> None:
        tracker = Tracker(engine, detector=fake_detector)
        assert isinstance(tracker.detector, CheckedDetector)
        assert tracker.detector.detector is fake_detector
        assert (tracker.detector.name, tracker.detector.calibration) == ("yunet", CALIBRATION)

    @pytest.mark.parametrize("kind", [list, tuple, np.array, lambda x: np.array(x, np.float32)])
    def test_any_numbers_become_float64(self, kind: Callable[[object], object]) -> None:
        (found,) = CheckedDetector(Mine((face(kind(BOX), np.float32(1 + 1e-7), kind(EYES)),))).detect(np.empty(0))
        assert (found.box_px.dtype, found.eyes_px.dtype, found.score) == (np.float64, np.float64, 1.0)
        np.testing.assert_array_equal(found.box_px, BOX)
        np.testing.assert_array_equal(found.eyes_px, EYES)

    def test_best_first(self) -> None:
        found = CheckedDetector(Mine([face(score=s) for s in (0.2, 0.9, 0.5)])).detect(np.empty(0))
        assert [each.score for each in found] == [0.9, 0.5, 0.2]


NAN = float("nan")
EXPECTED = {
    "a list of Detection": [None, face(), np.zeros((1, 4)), 3, "", {}, (each for each in ()), {"box": BOX}],
    r"every face as a Detection\(box_px, score, eyes_px\)": [[None], [(BOX, 0.9, EYES)], [np.zeros(15)], [face(), []]],
    "box_px as x, y, width, height in pixels": [
        [face(box)]
        for box in (
            *[(NAN, 0, 9, 9), (0, 0, np.inf, 9), (0, 0, -9, 9), (0, 0, 9, -9), (0, 0, 0, 0), (0.2, 0.2, 0.3, 0.4)],
            *[(1e9, 0, 9, 9), (0, 0, 1e300, 1e300), (1, 2, 3), [BOX], (1, 2, (3, 4)), None, "1234", 5, ["a"] * 4],
            *[(1j, 0, 9, 9), (True,) * 4, np.zeros((2, 2)), np.array(["1"] * 4), object()],
        )
    ],
    r"score as a number in 0\.\.1": [
        [face(score=s)] for s in (NAN, np.inf, -0.1, 1.1, 87, None, "0.9", [0.9], np.array([0.9]), True)
    ],
    r"eyes_px as \(2, 2\)": [
        [face(eyes=eyes)] for eyes in (((NAN, 1), (2, 3)), (1, 2, 3, 4), EYES[:1], None, np.zeros((5, 2)), ((1, 2), 3))
    ],
}


class TestNonsense:
    @pytest.mark.parametrize(("expected", "found"), [(key, each) for key, many in EXPECTED.items() for each in many])
    def test_one_sentence_names_the_detector(self, expected: str, found: object, engine: Engine) -> None:
        tracker = Tracker(engine, detector=Mine(found))
        with pytest.raises(TrackerError, match=rf"^the detector Mine: expected {expected}.*, got .*; correct") as error:
            tracker.detect(np.zeros((240, 320, 3), np.uint8))
        assert "\n" not in str(error.value) and len(str(error.value)) < 250

    @pytest.mark.parametrize("fault", [ValueError("no\nluck"), KeyError("x"), MemoryError(), NotImplementedError()])
    def test_one_that_raises(self, fault: Exception, engine: Engine, frames: list[Frame]) -> None:
        class Raising:
            name = "raising"

            def detect(self, image_rgb: Image) -> list[Detection]:
                raise fault

        with pytest.raises(
            TrackerError, match=rf"^the detector raising failed on frame 3 \({type(fault).__name__}.*\); try"
        ) as error:
            Tracker(engine, detector=Raising()).step(frames[3])
        assert error.value.__cause__ is fault

    def test_later_frames_are_tracked(self, engine: Engine, frames: list[Frame], fake_detector: FakeDetector) -> None:
        mine = Mine(None)
        mine.calibration = CALIBRATION  # type: ignore[attr-defined]
        tracker = Tracker(engine, detector=mine)
        with pytest.raises(TrackerError, match="got None"):
            tracker.step(frames[0])
        mine.found = fake_detector.detect(frames[1].image_rgb)
        counts = [len(tracker.step(frame).faces) for frame in frames[1:12]]
        assert counts[-1] == 1  # at the latest in the upright picture, after three turns of three frames

    @pytest.mark.parametrize(
        ("detector", "got"),
        [(None, "None"), (3, "3"), (Mine, "the class Mine"), (object, "the class object"), ("retina", "'retina'")],
    )
    def test_what_is_no_detector(self, detector: Any, got: str, engine: Engine) -> None:
        with pytest.raises(TrackerError, match=rf"^detector: expected one of auto, yunet, .* got {got}$"):
            Tracker(engine, detector=detector)

    def test_a_file_for_a_detector_that_is_there(self, engine: Engine) -> None:
        with pytest.raises(TrackerError, match=r"^detector_model a\.onnx is for a detector given by its name"):
            Tracker(engine, detector=Mine([]), detector_model="a.onnx")

    def test_a_calibration_of_another_kind(self) -> None:
        mine = Mine([])
        mine.calibration = (0.0, 0.1, 1.2)  # type: ignore[attr-defined]
        with pytest.raises(TrackerError, match=r"the detector Mine: expected its calibration to be a BoxCalibration"):
            CheckedDetector(mine)

    @pytest.mark.parametrize(
        "numbers", [(0, 0, 0), (0, 0, -1), (NAN, 0, 1), (0, 101, 1), (0, 0, np.inf), (0, 0, 0.001)]
    )
    def test_a_calibration_that_makes_no_view(self, numbers: tuple[float, float, float]) -> None:
        with pytest.raises(TrackerError, match=r"^expected right and down within 100 sides of the box"):
            BoxCalibration(*numbers)

    def test_the_largest_and_the_smallest_numbers_make_views(self, engine: Engine) -> None:
        """Whatever passes the checks is measured or refused, without an error."""
        far = 1_000_000
        boxes = [(-far, far, far, far), (far, -far, 1, far), (0, 0, 1, 1), (5, 5, far, 1)]
        for calibration in (BoxCalibration(100, -100, 100), BoxCalibration(0, 0, 0.01), LANDMARKS_BOX):
            mine = Mine([face(box, 1, ((far, -far), (-far, far))) for box in boxes])
            mine.calibration = calibration  # type: ignore[attr-defined]
            Tracker(engine, detector=mine, max_faces=9).detect(np.zeros((1200, 1600, 3), np.uint8))
