"""The next view follows the face: moved, turned or scaled, it is the moved, turned or scaled view."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tracker.face.crop import VIEW, Roi
from tracker.face.geometry import extent, similarity, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources.demo import DemoClip
from tracker.tracking.roi import BOX_HABITS, BoxHabit, DetectionSchedule, next_roi, roi_of_detection

Array = NDArray[np.float64]

motions = st.tuples(st.floats(0.2, 5), st.floats(-math.pi, math.pi), st.floats(-300, 300), st.floats(-300, 300))
habits = st.builds(BoxHabit, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.5, 2))


def moved(roi: Roi, scale: float, rotation_rad: float, motion: Array) -> Roi:
    x, y = transform_points(motion, roi.center_px)
    return Roi((x, y), roi.side_px * scale, roi.rotation_rad + rotation_rad)


def assert_same_view(got: Roi, expected: Roi) -> None:
    assert_allclose(got.center_px, expected.center_px, atol=1e-6)
    assert_allclose(got.side_px, expected.side_px)
    turn = got.rotation_rad - expected.rotation_rad
    assert_allclose([math.cos(turn), math.sin(turn)], [1, 0], atol=1e-9)


class TestOfADetection:
    @given(motions, habits, st.floats(-1, 1))
    def test_moves_with_the_box_and_the_eyes(self, move: tuple[float, ...], habit: BoxHabit, tilt: float) -> None:
        """A square box that is turned is a box of the same side around the turned middle."""
        scale, rotation_rad, *shift = move
        motion = similarity(scale, rotation_rad, (70, 90), (70 + shift[0], 90 + shift[1]))
        middle, side, eyes = np.array([100.0, 80.0]), 60.0, np.array([[85, 70], [115, 70 + 30 * tilt]])
        view = roi_of_detection([*(middle - side / 2), side, side], eyes, habit)
        corner = transform_points(motion, middle) - scale * side / 2
        box = [*corner, scale * side, scale * side]
        assert_same_view(
            roi_of_detection(box, transform_points(motion, eyes), habit),
            moved(view, scale, rotation_rad, motion),
        )

    def test_worked_by_hand(self) -> None:
        level, upright_habit = [(70, 50), (130, 50)], BoxHabit(0.1, 0.2, 1.5)
        view = roi_of_detection([50, 10, 100, 100], level, upright_habit)
        assert view == Roi((110.0, 80.0), 150.0, 0.0)
        view = roi_of_detection([50, 35, 100, 25], level, upright_habit)  # the side is the geometric mean
        assert view == Roi((105.0, 57.5), 75.0, 0.0)
        quarter = [(100, 20), (100, 80)]  # turned clockwise: down is to the left, right is down
        view = roi_of_detection([50, 10, 100, 100], quarter, upright_habit)
        assert_same_view(view, Roi((80.0, 70.0), 150.0, math.pi / 2))

    @pytest.mark.parametrize("name", ["yunet", "blazeface"])
    def test_shows_the_face_that_a_real_detector_found(self, name: Any, shared: Any, clip: DemoClip) -> None:
        """Within a tenth of the view's side, and 15 degrees, of the view that the true landmarks give."""
        from tracker.detectors.base import load_detector

        detector = load_detector(name, next((shared / "data/models").glob(f"*{FILES[name]}")))
        for index in (0, 30, 80):
            (face,) = detector.detect(clip.picture(index))
            view = roi_of_detection(face.box_px, face.eyes_px, BOX_HABITS[name])
            true = next_roi(Landmarks.from_points(clip.truth_px(index), IBUG68))
            assert np.linalg.norm(np.subtract(view.center_px, true.center_px)) < 0.1 * true.side_px
            assert abs(math.log(view.side_px / true.side_px)) < 0.15
            assert abs(view.rotation_rad - true.rotation_rad) < math.radians(15)


FILES = {"yunet": "320_320.onnx", "blazeface": "short_range.tflite"}


class TestOfLandmarks:
    @given(move=motions)
    def test_moves_with_them(self, move: tuple[float, ...], face68: Array) -> None:
        scale, rotation_rad, *shift = move
        motion = similarity(scale, rotation_rad, (40, 60), (40 + shift[0], 60 + shift[1]))
        view = next_roi(Landmarks.from_points(face68, IBUG68))
        turned = next_roi(Landmarks.from_points(transform_points(motion, face68), IBUG68))
        assert_same_view(turned, moved(view, scale, rotation_rad, motion))

    def test_shows_all_of_the_face_upright_in_the_middle(self, face68: Array) -> None:
        turned = transform_points(similarity(1.7, 2.5, (0, 0), (200, 100)), face68)
        size = 128
        seen = transform_points(next_roi(Landmarks.from_points(turned, IBUG68)).crop_from_image(size), turned)
        assert_allclose(seen[36, 1], seen[45, 1])
        assert seen[36, 0] < seen[45, 0]
        x, y, width, height = extent(seen)
        assert_allclose([x + width / 2, y + height / 2], (size - 1) / 2)
        assert_allclose(max(width, height), size / VIEW)


@pytest.mark.parametrize("name", BOX_HABITS)
def test_every_detector_has_a_habit(name: str) -> None:
    habit = BOX_HABITS[name]
    assert abs(habit.right) < 0.05
    assert 0 < habit.down < 0.3
    assert 0.8 < habit.side < 1.6


class TestSchedule:
    @pytest.fixture
    def due(self) -> Callable[[int, int, float], bool]:
        """The detector has run at 10 s."""
        schedule = DetectionSchedule()
        schedule.detected(10.0)
        return schedule.due

    def test_at_once_at_the_start(self) -> None:
        assert DetectionSchedule().due(0, 0, 0.0)
        assert DetectionSchedule().due(1, 0, -5.0)

    @pytest.mark.parametrize("coasting", [0, 1])
    def test_in_every_frame_while_there_is_none(self, due: Callable[[int, int, float], bool], coasting: int) -> None:
        assert due(0, coasting, 10.0)
        assert due(0, coasting, 10.01)
        assert due(0, coasting, 100.0)

    @pytest.mark.parametrize("measured", [1, 2, 5])
    def test_once_a_second_however_many_are_followed(
        self, due: Callable[[int, int, float], bool], measured: int
    ) -> None:
        assert not due(measured, 0, 10.0)
        assert not due(measured, 0, 10.99)
        assert due(measured, 0, 11.0)
        assert due(measured, 0, 60.0)

    def test_sooner_while_one_coasts(self, due: Callable[[int, int, float], bool]) -> None:
        assert not due(1, 1, 10.09)
        assert due(1, 1, 10.11)

    def test_when_the_clock_has_run_backwards(self, due: Callable[[int, int, float], bool]) -> None:
        assert due(1, 0, 9.0)
