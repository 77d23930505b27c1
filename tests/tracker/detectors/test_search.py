"""Faces are found at any roll: the picture is turned, and what is found is turned back."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tracker import Frame, Tracker, TrackerError
from tracker.datasets.pts_files import labelled_pictures, read_pts
from tracker.detectors.base import Detection
from tracker.detectors.loading import load_detector
from tracker.detectors.search import TURNS, Search, Turn, small_from_turned
from tracker.detectors.yunet import CALIBRATION
from tracker.face.geometry import similarity, transform_points
from tracker.sources import read_picture
from tracker.sources.demo import DemoClip
from tracker.sources.rotation import rotate_frame
from tracker.tracking.score_thresholds import ScoreThresholds

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


class Nothing:
    """A detector that finds nothing, and counts."""

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def detect(self, image_rgb: Image) -> list[Detection]:
        self.shapes.append(image_rgb.shape[:2])
        return []


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_pixel_is_found_where_it_was(degrees: int) -> None:
    picture = np.zeros((5, 8, 3), np.uint8)
    picture[1, 6] = 255
    now = rotate_frame(Frame(picture, 0.0, 0), degrees).image_rgb  # type: ignore[arg-type]
    y, x = np.argwhere(now[..., 0])[0]
    assert_allclose(transform_points(small_from_turned(degrees, picture.shape), [x, y]), [6, 1])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_detection_is_turned_back(degrees: int, clip: DemoClip) -> None:
    """The face of a picture turned against the search is found as in the upright one."""
    yunet, upright = load_detector("yunet"), clip.picture(3)
    picture = rotate_frame(Frame(upright, 0.0, 0), 360 - degrees).image_rgb  # type: ignore[arg-type]
    (found,) = Search([yunet]).detect(picture, Turn(0, degrees))
    (expected,) = yunet.detect(upright)
    back = small_from_turned(360 - degrees, upright.shape)
    assert_allclose(transform_points(back, found.eyes_px), expected.eyes_px, atol=1e-6)
    middle = expected.box_px[:2] + expected.box_px[2:] / 2
    assert_allclose(transform_points(back, found.box_px[:2] + found.box_px[2:] / 2), middle, atol=1e-6)
    assert_allclose(sorted(found.box_px[2:]), sorted(expected.box_px[2:]), atol=1e-6)


@pytest.mark.parametrize("count", TURNS)
def test_every_detector_takes_every_turn(count: int) -> None:
    search = Search([Nothing() for _ in range(count)])
    turns = [search.next_turn(in_order=True) for _ in range(4 * count)]
    assert turns[0] == (0, 0)
    assert set(turns) == {(detector, degrees) for detector in range(count) for degrees in (0, 90, 180, 270)}
    assert search.next_turn() == (0, 0)
    search.next_turn()
    search.begin()
    assert search.next_turn() == (0, 0)


def test_the_upright_picture_is_searched_every_third_time() -> None:
    search = Search([Nothing(), Nothing()])
    turns = [search.next_turn() for _ in range(12)]
    assert turns[::3] == [(0, 0)] * 4
    assert [turn for turn in turns if turn != (0, 0)] == [*TURNS[2][1:]]
    search.skip()
    search.skip()
    assert search.next_turn() == (0, 0)


def test_one_search_a_frame_but_all_in_the_first_and_in_stills(make_tracker: Callable[..., Tracker]) -> None:
    """Of a video, a frame without a face costs one run of a detector, on a small picture where it is turned."""
    nothing, picture = Nothing(), np.zeros((900, 1200, 3), np.uint8)
    tracker, runs = make_tracker(nothing), []
    for index, still in enumerate((False, False, False, True, False)):
        tracker.step(Frame(picture, index / 30, index, still=still))
        runs.append(len(nothing.shapes))
    assert np.diff([0, *runs]).tolist() == [8, 1, 1, 8, 1]
    assert set(nothing.shapes) == {(900, 1200), (480, 640), (640, 480)}


class Wall(Nothing):
    """A detector that takes the same piece of the background for a face where the picture is turned by 90 degrees."""

    def detect(self, image_rgb: Image) -> list[Detection]:
        super().detect(image_rgb)
        if image_rgb.shape[0] < image_rgb.shape[1]:
            return []
        return [Detection(np.array([30.0, 30, 60, 60]), 0.75, np.array([[45.0, 50], [75, 50]]))]


@pytest.mark.parametrize(("interval_s", "frames", "turns"), [(1 / 30, 22, 1), (1 / 10, 8, 3), (1.0, 8, 8)])
def test_what_a_turn_finds_is_measured_in_the_next_frames(
    make_tracker: Callable[..., Tracker], interval_s: float, frames: int, turns: int
) -> None:
    """No frame without a face both detects and measures; each of a slow source does, and takes several turns."""
    wall, noise = Wall(), np.random.default_rng(1).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    tracker, runs, both = make_tracker(wall), [], 0
    for index in range(1 + frames):
        result = tracker.step(Frame(noise, index * interval_s, index))
        assert not result.faces
        runs.append(len(wall.shapes))
        both += index > 0 and {"detect", "engine"} <= set(result.stage_s)
    assert both == (0 if turns == 1 else frames)
    assert max(np.diff(runs)) == turns
    assert set(wall.shapes[8:]) == {(480, 640), (640, 480)}


def rolled(picture: Image, points: Array, degrees: float, side: int = 480) -> tuple[Image, Array]:
    """The face of a picture turned about its middle, a little less than half of a square picture."""
    low, high = points.min(0), points.max(0)
    middle, scale = ((side - 1) / 2,) * 2, side / (2.2 * (high - low).max())
    motion = similarity(scale, math.radians(degrees), (low + high) / 2, middle)
    image = cv2.warpAffine(picture, motion, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(image, np.uint8), transform_points(motion, points)


def test_faces_at_any_roll(shared: Path) -> None:
    """Each of 24 faces at its own angle, one in every 15 degrees: right in the first frame, and none upside down."""
    rng, tracker, errors = np.random.default_rng(2026), Tracker(), []
    for index, (path, label) in enumerate(labelled_pictures(shared / "data/300w/lfpw/testset")[4::9][:24]):
        picture = read_picture(path)
        assert picture is not None
        image, truth = rolled(picture, read_pts(label), 15 * index + rng.uniform(0, 15))
        tracker.reset()
        faces = tracker.step(Frame(image, 0.0, 0)).faces
        away = [np.linalg.norm(face.landmarks.points_px - truth, axis=1).mean() for face in faces]
        errors.append(min(away, default=math.inf) / np.linalg.norm(truth[36] - truth[45]))
    assert sum(error < 0.15 for error in errors) >= 23


@pytest.mark.parametrize(("index", "degrees"), [(96, 171.3), (216, 170.5)])
def test_a_face_that_is_first_taken_upside_down_is_put_right(shared: Path, index: int, degrees: float) -> None:
    """Its first turn shows a doubtful face there, and the turns that follow in the next frames a sure one.

    These pictures are ones that edge68_300w takes upside down at first.
    """
    path, label = labelled_pictures(shared / "data/300w/lfpw/testset")[index]
    picture = read_picture(path)
    assert picture is not None
    image, truth = rolled(picture, read_pts(label), degrees)
    tracker, errors = Tracker("edge68_300w"), []
    for frame, shown in enumerate([np.full_like(image, 110), *[image] * 12]):
        errors += [
            np.linalg.norm(face.landmarks.points_px - truth, axis=1).mean() / np.linalg.norm(truth[36] - truth[45])
            for face in tracker.step(Frame(shown, frame / 30, frame)).faces
            if face.id == 1
        ]
    assert len(errors) == 12  # by one id from its first frame on
    assert errors[0] > 1 > 0.15 > errors[-1]


def test_what_scores_too_low_is_refused_and_counted(make_tracker: Callable[..., Tracker], frames: list[Frame]) -> None:
    score = make_tracker().step(frames[3]).faces[0].score
    less = (
        1 - (1 - ScoreThresholds(0.9).of_new(0.9)) / 0.1
    )  # of the way from min_score to 1, at the fake detector's score
    least = (score - less) / (1 - less)  # with which the face is just found
    kept = make_tracker(min_score=least - 1e-6).step(frames[3])
    refused = make_tracker(min_score=least + 1e-6).step(frames[3])
    assert (len(kept.faces), kept.refused) == (1, 0)
    assert not refused.faces
    assert refused.refused >= 1
    followed = make_tracker(min_score=0.3)
    followed.step(frames[3])
    assert followed.min_score == 0.3


@pytest.mark.parametrize("min_score", [-0.1, 1.1, math.nan])
def test_no_score(min_score: float) -> None:
    with pytest.raises(TrackerError, match=r"min_score must be in 0\.\.1, got"):
        Tracker(min_score=min_score)


class TestTurned:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)

    @pytest.mark.parametrize("mirror", [False, True])
    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    def test_turns_then_mirrors(self, rotate: Any, mirror: bool) -> None:
        expected = np.rot90(self.picture, -rotate // 90)
        frame = rotate_frame(Frame(self.picture, 1.5, 7, still=True), rotate, mirror)
        np.testing.assert_array_equal(frame.image_rgb, expected[:, ::-1] if mirror else expected)
        assert (frame.timestamp_s, frame.index, frame.still) == (1.5, 7, True)

    def test_another_angle(self) -> None:
        with pytest.raises(TrackerError, match="rotate must be 0, 90, 180 or 270 degrees, got 45"):
            rotate_frame(Frame(self.picture, 0.0, 0), 45)  # type: ignore[arg-type]
