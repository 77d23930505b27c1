"""Landmarks come back into the picture they were cut from; rough views are measured twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tests.tracker.views import Array, assert_same_view, motions, moved
from tracker.engines.base import EngineOutput
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from tracker.face.crop import VIEW, Roi
from tracker.face.geometry import extent, similarity, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.gpu_frame import GpuFrame
from tracker.tracking.estimator import LandmarkEstimator, StageTimer, next_roi

SIZE = 64
PICTURE = np.zeros((100, 120, 3), np.uint8)


class SameEverywhere:
    """An engine that gives the same landmarks for every crop, and remembers the crops."""

    def __init__(self, points_px: NDArray[np.float64]) -> None:
        self.spec = ModelSpec(SIZE, "ibug68", presence=0.5, decode="", licence="", config={}, commit="")
        self.points_px = points_px.astype(np.float32)
        self.crops: list[NDArray[np.uint8]] = []

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        self.crops.append(crops)
        count = len(crops)
        scores = np.linspace(0.5, 1, 68, dtype=np.float32)
        covariances = np.full((68, 3), (4, 0, 1), np.float32)
        return EngineOutput(*(np.stack([x] * count) for x in (self.points_px, scores, covariances)))


POINTS = np.random.default_rng(0).uniform(8, 56, (68, 2))

places = st.tuples(st.floats(-50, 200), st.floats(-50, 200))
views = st.builds(Roi, places, st.floats(5, 300), st.floats(-3, 3))


@given(st.lists(views, min_size=1, max_size=3))
def test_crop_pixels_become_picture_pixels(rois: list[Roi]) -> None:
    found = LandmarkEstimator(SameEverywhere(POINTS)).estimate(PICTURE, rois)
    assert len(found) == len(rois)
    for roi, (landmarks, score) in zip(rois, found):
        back = transform_points(roi.crop_from_image(SIZE), landmarks.points_px)
        assert_allclose(back, POINTS, atol=1e-3)
        assert abs(score - 0.75) < 1e-6
        assert landmarks.scheme is IBUG68
        scale = roi.side_px / SIZE
        determinant = landmarks.covariances_px2[:, 0] * landmarks.covariances_px2[:, 2]
        determinant -= landmarks.covariances_px2[:, 1] ** 2
        assert_allclose(determinant, 4 * scale**4, rtol=1e-5)


def test_visibility_is_that_of_the_crop_wherever_it_lies() -> None:
    engine = SameEverywhere(POINTS)
    engine.spec = replace(engine.spec, visibility={"slope": 2.0, "offsets": [-14.0] * 68})
    found = LandmarkEstimator(engine).estimate(PICTURE, [Roi((50, 50), 40), Roi((20, 30), 400, 1.0)])
    expected = 1 / (1 + np.exp(2.0 * np.log(2.5 / SIZE**2) + 14.0))  # of variances of 4 and 1 px2
    for landmarks, _ in found:
        assert_allclose(landmarks.visibility, np.full(68, expected), rtol=1e-6)
    assert LandmarkEstimator(SameEverywhere(POINTS)).estimate(PICTURE, [Roi((50, 50), 40)])[0][0].visibility is None


def test_all_views_in_one_call_and_none_in_none() -> None:
    engine, stages = SameEverywhere(POINTS), StageTimer()
    estimator = LandmarkEstimator(engine)
    assert estimator.estimate(PICTURE, [], stages) == []
    assert estimator.estimate_twice(PICTURE, [], stages) == []
    assert engine.crops == []
    assert stages.seconds == {}
    estimator.estimate(PICTURE, [Roi((50, 50), 40)] * 3, stages)
    assert [crops.shape for crops in engine.crops] == [(3, SIZE, SIZE, 3)]
    assert stages.seconds.keys() == {"crop", "engine"}
    assert min(stages.seconds.values()) > 0


def test_the_second_time_is_in_the_view_of_the_first() -> None:
    estimator, rough = LandmarkEstimator(SameEverywhere(POINTS)), Roi((40, 60), 50, 0.3)
    (first,) = estimator.estimate(PICTURE, [rough])
    (expected,) = estimator.estimate(PICTURE, [next_roi(first.landmarks)])
    (twice,) = estimator.estimate_twice(PICTURE, [rough])
    assert_allclose(twice.landmarks.points_px, expected.landmarks.points_px)
    assert np.abs(twice.landmarks.points_px - first.landmarks.points_px).max() > 1


def test_stages_add_up_even_when_one_fails() -> None:
    stages = StageTimer()
    for _ in range(2):
        try:
            with stages("crop"):
                raise ValueError
        except ValueError:
            pass
    once = stages.seconds["crop"]
    with stages("crop"):
        pass
    assert stages.seconds["crop"] > once > 0


class TakesGpuFrames(SameEverywhere):
    """Stands for a TensorRT engine: remembers the frames and transforms it was given."""

    def run_on(self, frame: GpuFrame, crops_from_image: Sequence[NDArray[np.float64]]) -> EngineOutput:
        self.given = frame, list(crops_from_image)
        return self.run(np.empty((len(crops_from_image), SIZE, SIZE, 3), np.uint8))


FRAME = GpuFrame(4096, 120, 100, 360)
ROIS = [Roi((50, 50), 40, 0.2), Roi((70, 30), 60)]


@pytest.mark.parametrize(("variance_px2", "score"), [(-100.0, 0.0), (1e38, 0.0), (-1e-6, 0.75), (600.0**2, 0.75)])
def test_a_variance_that_cannot_be_is_no_face(variance_px2: float, score: float) -> None:
    """Rounding may make one a little negative, and ten times the crop's side is far, but may be."""

    class Odd(SameEverywhere):
        def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
            output = super().run(crops)
            output.covariances_px2[:, 7, 2] = variance_px2
            return output

    (found,) = LandmarkEstimator(Odd(POINTS)).estimate(PICTURE, [Roi((50, 50), 40)])
    assert abs(found.score - score) < 1e-6
    assert np.isfinite(found.landmarks.points_px).all()


def test_a_frame_on_the_gpu_is_measured_as_one_of_the_host() -> None:
    engine, stages = TakesGpuFrames(POINTS), StageTimer()
    found = LandmarkEstimator(engine).estimate(FRAME, ROIS, stages)
    assert engine.given[0] is FRAME
    assert_allclose(engine.given[1], [roi.crop_from_image(SIZE) for roi in ROIS])
    for one, other in zip(found, LandmarkEstimator(SameEverywhere(POINTS)).estimate(PICTURE, ROIS)):
        assert_allclose(one.landmarks.points_px, other.landmarks.points_px)
    assert stages.seconds.keys() == {"engine"}
    assert len(LandmarkEstimator(engine).estimate_twice(FRAME, ROIS)) == 2


def test_a_frame_on_the_gpu_needs_an_engine_there() -> None:
    with pytest.raises(TrackerError, match=r"takes pictures in host memory only.*need a TensorRT engine"):
        LandmarkEstimator(SameEverywhere(POINTS)).estimate(FRAME, ROIS)


class TestNextView:
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
