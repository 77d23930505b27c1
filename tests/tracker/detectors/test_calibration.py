"""The view that a detection gives: moved, turned or scaled, it is the moved, turned or scaled view."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.tracker.views import assert_same_view, motions, moved
from tracker.detectors.base import BoxCalibration, Detection, roi_of_detection
from tracker.detectors.loading import DetectorName, load_detector
from tracker.face.crop import Roi
from tracker.face.geometry import similarity, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources.demo import DemoClip
from tracker.tracking.estimator import next_roi

calibrations = st.builds(BoxCalibration, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.5, 2))


def found(box_px: ArrayLike, eyes_px: ArrayLike) -> Detection:
    return Detection(np.asarray(box_px, np.float64), 0.9, np.asarray(eyes_px, np.float64))


class TestOfADetection:
    @given(motions, calibrations, st.floats(-1, 1))
    def test_moves_with_the_box_and_the_eyes(
        self, move: tuple[float, ...], calibration: BoxCalibration, tilt: float
    ) -> None:
        """A square box that is turned is a box of the same side around the turned middle."""
        scale, rotation_rad, *shift = move
        motion = similarity(scale, rotation_rad, (70, 90), (70 + shift[0], 90 + shift[1]))
        middle, side, eyes = np.array([100.0, 80.0]), 60.0, np.array([[85, 70], [115, 70 + 30 * tilt]])
        view = roi_of_detection(found([*(middle - side / 2), side, side], eyes), calibration)
        corner = transform_points(motion, middle) - scale * side / 2
        box = [*corner, scale * side, scale * side]
        assert_same_view(
            roi_of_detection(found(box, transform_points(motion, eyes)), calibration),
            moved(view, scale, rotation_rad, motion),
        )

    def test_worked_by_hand(self) -> None:
        level, calibration = [(70, 50), (130, 50)], BoxCalibration(0.1, 0.2, 1.5)
        view = roi_of_detection(found([50, 10, 100, 100], level), calibration)
        assert view == Roi((110.0, 80.0), 150.0, 0.0)
        view = roi_of_detection(found([50, 35, 100, 25], level), calibration)  # the side is the geometric mean
        assert view == Roi((105.0, 57.5), 75.0, 0.0)
        quarter = [(100, 20), (100, 80)]  # turned clockwise: down is to the left, right is down
        view = roi_of_detection(found([50, 10, 100, 100], quarter), calibration)
        assert_same_view(view, Roi((80.0, 70.0), 150.0, math.pi / 2))

    @pytest.mark.parametrize("name", ["yunet", "blazeface"])
    def test_shows_the_face_that_a_real_detector_found(self, name: DetectorName, clip: DemoClip) -> None:
        """Within a tenth of the view's side, and 15 degrees, of the view that the true landmarks give."""
        detector = load_detector(name)
        for index in (0, 30, 80):
            (face,) = detector.detect(clip.picture(index))
            view = roi_of_detection(face, detector.calibration)
            true = next_roi(Landmarks.from_points(clip.truth_px(index), IBUG68))
            assert np.linalg.norm(np.subtract(view.center_px, true.center_px)) < 0.1 * true.side_px
            assert abs(math.log(view.side_px / true.side_px)) < 0.15
            assert abs(view.rotation_rad - true.rotation_rad) < math.radians(15)
