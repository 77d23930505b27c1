"""Numbers that no camera, picture or clock gives: refused with one sentence, or worked with, never overflowing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from tracker import (
    BatchTracker,
    Blinks,
    Frame,
    GpuFrame,
    Landmarks,
    Roi,
    Tracker,
    TrackerError,
    camera_matrix,
    eye_opening,
    head_pose,
    mouth_opening,
)
from tracker.analysis.head_pose import mean_head_mm
from tracker.engines.onnx import OnnxEngine
from tracker.face.crop import SIDES_PX, crop, roi_of_landmarks
from tracker.face.schemes import IBUG68
from tracker.sources import ReconnectPolicy
from tracker.sources.demo import DemoClip
from tracker.tracking.smoothing import PRESETS, Smoothing, make_smoother
from tracker.weights.packaged import landmark_model

ODD = (0.0, -1.0, 1e-300, 1e-12, 1e-5, 1e3, 1e9, 1.01e9, 1e13, 1e18, 1e154, 1.7e308, -1e300, math.nan, math.inf)
HEAD = mean_head_mm()[:, :2] + 100


def refused_or(made_by: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call, or None if its arguments are refused. Warnings are errors here."""
    try:
        return made_by(*arguments)
    except (TrackerError, ValueError):
        return None


def face(scale: float) -> Landmarks:
    with np.errstate(over="ignore"):
        return Landmarks(HEAD * scale, np.ones(68), np.full((68, 3), scale), IBUG68)


def faces() -> Iterator[Landmarks]:
    """Those of all sizes that are taken for landmarks."""
    made = (refused_or(face, scale) for scale in ODD if math.isfinite(scale))
    return (each for each in made if each is not None)


def view(x: float, side: float, rotation: float) -> Any:
    return crop(np.full((20, 30, 3), 200, np.uint8), Roi((x, 3.0), side, rotation), 32)


def test_views() -> None:
    for numbers in product(ODD, ODD, (0.0, 1.0, 1e300, math.nan)):
        seen = refused_or(view, *numbers)
        assert seen is None or seen.shape == (32, 32, 3)


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 1e9, 1e11])
def test_the_view_of_any_landmarks_can_be_cut(scale: float) -> None:
    roi = roi_of_landmarks(HEAD * scale)
    assert SIDES_PX[0] <= roi.side_px <= SIDES_PX[1]
    crop(np.zeros((20, 30, 3), np.uint8), roi, 32)


@pytest.mark.parametrize("smoothing", PRESETS)
def test_times_and_sizes_given_to_a_smoother(smoothing: Smoothing) -> None:
    covariances = np.ones((68, 3))
    for start_s, next_s, size in product(ODD, ODD, (1e-3, 100.0, *ODD)):
        if not math.isfinite(start_s) or not math.isfinite(next_s):
            continue
        step = make_smoother(smoothing)
        for time_s in (start_s, next_s, next_s + 1 / 30, 0.0):
            found = refused_or(step, HEAD, time_s, size, covariances)
            assert found is None or np.allclose(found, HEAD)


def test_a_pause_longer_than_any_video_starts_a_smoother_anew() -> None:
    for smoothing in PRESETS:
        step = make_smoother(smoothing)
        for time_s in (0.0, 0.03, 1e6):
            found = step(HEAD + time_s, time_s, 100.0, np.ones((68, 3)))
        assert np.array_equal(found, HEAD + 1e6)


def test_landmarks_of_any_size() -> None:
    camera = camera_matrix(640, 480)
    for made in faces():
        assert np.isfinite(made.uncertainty_px).all()
        head_pose(made, camera)
        assert all(
            opening.error >= 0 or math.isnan(opening.ratio) for opening in (*eye_opening(made), mouth_opening(made))
        )
        blinks = Blinks()
        for time_s in ODD:
            blinks.step(made, time_s)
            refused_or(made.scaled, time_s, 1.0)


def test_cameras() -> None:
    for width, height, focal in product((640, 10**400, *ODD), (480, -1, 1e300), (None, *ODD)):
        camera = refused_or(camera_matrix, width, height, focal)
        if camera is not None:
            head_pose(face(1.0), camera)


@pytest.mark.parametrize(
    "camera", [np.zeros((3, 3)), -np.eye(3), np.full((3, 3), 1e300), np.eye(3) * 1j, [["a"] * 3] * 3]
)
def test_matrices_that_are_no_camera(camera: np.ndarray) -> None:
    with pytest.raises(TrackerError, match="expected a camera matrix"):
        head_pose(face(1.0), camera)


@pytest.mark.parametrize("aspect", [each for each in ODD if not 0.25 <= each <= 4])
def test_pixels_of_no_video(aspect: float) -> None:
    with pytest.raises(TrackerError, match="pixel_aspect"):
        Frame(np.zeros((4, 4, 3), np.uint8), 0.0, 0, pixel_aspect=aspect)


@pytest.mark.parametrize("field", range(6))
@pytest.mark.parametrize("number", [1 << 70, -(1 << 70), 10**400])
def test_frames_on_the_gpu_that_none_has(field: int, number: int) -> None:
    fields = [4096, 640, 480, 1920, 3, 1]
    fields[field] = number
    with pytest.raises(TrackerError, match="on the GPU"):
        GpuFrame(*fields)


@pytest.mark.parametrize("name", ["stall_s", "retry_s", "longest_retry_s", "open_s"])
@pytest.mark.parametrize("time_s", [0.0, -1.0, 1e300, math.inf, math.nan])
def test_times_that_no_thread_can_wait(name: str, time_s: float) -> None:
    with pytest.raises(TrackerError, match=f"{name} must be a number of seconds, above 0"):
        ReconnectPolicy(**{name: time_s})


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    return OnnxEngine(landmark_model())


@pytest.mark.parametrize(
    "options",
    [{name: n} for name in ("max_faces", "coast_frames") for n in (-1, 10**9, 10**400, 1.5, math.nan, "2")]
    + [{name: n} for name in ("hold_s", "min_score") for n in (-1.0, 1e309, math.nan)],
    ids=str,
)
def test_options_of_the_tracker(engine: OnnxEngine, options: dict[str, float]) -> None:
    with pytest.raises(TrackerError, match=next(iter(options))):
        Tracker(engine, **options)  # type: ignore[arg-type]


def test_no_trackers_at_all() -> None:
    with pytest.raises(ValueError, match="at least one tracker"):
        BatchTracker([])


def test_times_of_frames(engine: OnnxEngine) -> None:
    picture = next(iter(DemoClip())).image_rgb
    tracker = Tracker(engine, smoothing="steady")
    for time_s in ODD:
        tracker.reset()
        for each in (0.0, time_s, time_s + 1 / 30):
            result = refused_or(tracker.step, Frame(picture, each, 0))
            assert result is None or np.isfinite(result.faces[0].landmarks.points_px).all()
