"""The tracker finds the face of the demo clip, keeps its id as long as it may, and survives what cameras send."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker import Frame, FrameResult, Tracker, TrackerError
from tracker.datasets.pts_files import read_pts
from tracker.detectors.base import Detection, roi_of_detection
from tracker.detectors.yunet import CALIBRATION
from tracker.engines.base import EngineOutput
from tracker.face.crop import Roi, crop, roi_of_landmarks, warp
from tracker.gpu_frame import GpuFrame
from tracker.sources import read_picture
from tracker.sources.demo import DemoClip, DemoReport
from tracker.tracking.batch import BatchTracker
from tracker.tracking.estimator import LandmarkEstimator

Image = NDArray[np.uint8]
Array = NDArray[np.float64]
Make = Callable[..., Tracker]

BLACK = np.zeros((240, 320, 3), np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)


class Fake:
    """A FakeDetector that says what it is told to."""

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self, detect: Callable[[Image], list[Detection]]) -> None:
        self.detect = detect


def in_the_middle(image_rgb: Image) -> list[Detection]:
    """Of every picture that there is a face in its middle."""
    height, width = image_rgb.shape[:2]
    side, middle = min(height, width) / 2, np.array([width - 1, height - 1]) / 2
    eyes = np.array([middle - (side / 5, side / 8), middle + (side / 5, -side / 8)])
    return [Detection(np.array([*(middle - side / 2), side, side]), 0.9, eyes)]


@pytest.fixture
def on_two_halves(fake_detector: Any) -> Fake:
    """For two pictures of the clip side by side."""

    def detect(image_rgb: Image) -> list[Detection]:
        found = []
        for x in (0, 320):
            for face in fake_detector.detect(np.ascontiguousarray(image_rgb[:, x : x + 320])):
                found.append(Detection(face.box_px + (x, 0, 0, 0), face.score, face.eyes_px + (x, 0)))
        return found

    return Fake(detect)


def follow(tracker: Tracker, frames: Iterable[Frame]) -> list[FrameResult]:
    return [tracker.step(frame) for frame in frames]


def at(frames: list[Frame], indices: Iterable[int], rate: float = 30.0) -> list[Frame]:
    """Those frames, one after the other in time."""
    return [Frame(frames[index].image_rgb, n / rate, n) for n, index in enumerate(indices)]


def faces_of(results: Iterable[FrameResult]) -> list[list[tuple[int, str]]]:
    return [[(face.id, face.state) for face in result.faces] for result in results]


def records(results: Iterable[FrameResult]) -> list[dict[str, Any]]:
    return [result.to_json() for result in results]


def error_percent(points_px: Array, truth_px: Array) -> float:
    """Mean distance in percent of the distance between the outer eye corners."""
    unit = np.linalg.norm(truth_px[36] - truth_px[45])
    return float(100 * np.linalg.norm(points_px - truth_px, axis=1).mean() / unit)


def assert_tracks_the_clip(clip: DemoClip, results: list[FrameResult]) -> None:
    report = DemoReport(clip)
    for result in results:
        report.add(result.index, result.faces[-1].landmarks.points_px if result.faces else None)
    summary = report.summary()
    assert summary.visible == clip.count - 12
    assert summary.found >= 0.97 * summary.visible
    assert summary.error_percent <= 4.5
    assert summary.jitter_percent < 0.7
    assert summary.after_occlusion is not None
    assert summary.after_occlusion <= 2
    assert summary.after_cut is not None
    assert summary.after_cut <= 2


@pytest.fixture(scope="module")
def followed(make_tracker: Make, frames: list[Frame]) -> list[FrameResult]:
    return follow(make_tracker(), frames)


class TestDemoClip:
    def test_is_tracked(self, clip: DemoClip, followed: list[FrameResult]) -> None:
        assert_tracks_the_clip(clip, followed)

    @pytest.mark.parametrize("name", ["yunet", "blazeface"])
    def test_is_tracked_with_a_real_detector(
        self, name: Any, shared: Path, clip: DemoClip, frames: list[Frame]
    ) -> None:
        file = {"yunet": "yunet_n_320_320.onnx", "blazeface": "face_detection_short_range.tflite"}[name]
        tracker = Tracker(detector=name, detector_model=shared / "data/models" / file)
        results = follow(tracker, frames)
        assert_tracks_the_clip(clip, results)
        assert faces_of(results)[-1] == [(2, "tracking")]

    def test_one_result_a_frame(self, frames: list[Frame], followed: list[FrameResult]) -> None:
        assert [(r.index, r.timestamp_s) for r in followed] == [(f.index, f.timestamp_s) for f in frames]

    def test_the_face_coasts_behind_the_cover_and_a_newcomer_follows_the_cut(
        self, clip: DemoClip, followed: list[FrameResult]
    ) -> None:
        for index, faces in enumerate(faces_of(followed)):
            if clip.occluded(index):
                assert faces == [(1, "coasting")]
            elif index not in (62, 63, 68, 69):  # where it may take a moment
                assert faces == [(1 if index < clip.cut else 2, "tracking")]

    def test_a_coasting_face_is_held_where_it_was(self, clip: DemoClip, followed: list[FrameResult]) -> None:
        last, *held = (followed[i].faces[0] for i in range(clip.covered.start - 1, clip.covered.stop))
        for face in held:
            np.testing.assert_array_equal(face.landmarks.points_px, last.landmarks.points_px)
            np.testing.assert_array_equal(face.raw.points_px, last.raw.points_px)
            assert face.score == last.score

    def test_stages_are_timed(self, clip: DemoClip, followed: list[FrameResult]) -> None:
        assert followed[0].stage_s.keys() == {"detect", "crop", "engine", "smooth", "step"}
        assert followed[5].stage_s.keys() == {"crop", "engine", "smooth", "step"}
        for result in followed:
            parts = [seconds for stage, seconds in result.stage_s.items() if stage != "step"]
            assert min(parts) > 0
            assert sum(parts) <= result.stage_s["step"]

    def test_numbers_mean_what_they_say(self, followed: list[FrameResult]) -> None:
        for result in followed:
            for face in result.faces:
                assert 0.5 < face.score <= 1
                assert face.landmarks.scores.min() >= 0
                assert face.landmarks.scores.max() <= 1
                xx, xy, yy = face.landmarks.covariances_px2.T
                assert min(xx.min(), yy.min()) > 0
                assert (xx * yy - xy**2).min() > -1e-6
                assert face.landmarks.scheme.name == "ibug68"

    def test_the_detector_runs_only_when_it_is_needed(self, clip: DemoClip, followed: list[FrameResult]) -> None:
        detected = {result.index for result in followed if "detect" in result.stage_s}
        assert {0, *clip.covered, clip.cut} <= detected
        assert len(detected) <= 18

    def test_smoothing_can_be_left_out(self, make_tracker: Make, frames: list[Frame]) -> None:
        results = follow(make_tracker(smoothing="none"), frames[:8])
        assert all(face.landmarks is face.raw for result in results for face in result.faces)
        smooth = follow(make_tracker(), frames[:8])
        first, last = smooth[0].faces[0], smooth[-1].faces[0]
        np.testing.assert_array_equal(first.landmarks.points_px, first.raw.points_px)
        assert 0.01 < np.abs(last.landmarks.points_px - last.raw.points_px).max() < 5

    def test_smoothing_may_change_between_two_frames(self, make_tracker: Make, frames: list[Frame]) -> None:
        tracker, smoothed = make_tracker(), []
        for index, frame in enumerate(frames[:9]):
            tracker.smoothing = "none" if 3 <= index < 6 else "balanced"
            (face,) = tracker.step(frame).faces
            smoothed.append(not np.array_equal(face.landmarks.points_px, face.raw.points_px))
        assert smoothed == [False, True, True, False, False, False, False, True, True]  # the first is passed as it is

    def test_a_rough_detection_is_measured_again_in_the_view_of_the_first(
        self, make_tracker: Make, fake_detector: Any, frames: list[Frame]
    ) -> None:
        exact, image = fake_detector.truth(3), frames[3].image_rgb
        box = exact.box_px * (1, 1, 0.85, 0.85) + np.array([0.17, -0.03, 0, 0]) * exact.box_px[2]
        tracker = make_tracker(Fake(lambda _: [Detection(box, 0.9, exact.eyes_px)]))
        (face,) = tracker.step(Frame(image, 0.0, 0)).faces
        estimator, view = (
            LandmarkEstimator(tracker.engine),
            [roi_of_detection(Detection(box, 0.9, exact.eyes_px), CALIBRATION)],
        )
        (once,), (twice,) = (measure(image, view) for measure in (estimator.estimate, estimator.estimate_twice))
        np.testing.assert_allclose(face.raw.points_px, twice.landmarks.points_px)
        assert error_percent(face.raw.points_px, once.landmarks.points_px) > 0.5

    def test_a_turned_picture_gives_the_turned_landmarks(
        self, make_tracker: Make, fake_detector: Any, frames: list[Frame]
    ) -> None:
        """A quarter turn: the view turns with the eyes, so that the network sees the same."""
        turned = np.ascontiguousarray(np.rot90(frames[3].image_rgb))  # x, y to y, width - 1 - x
        width = frames[3].image_rgb.shape[1]
        truth = fake_detector.truth(3)
        x, y, side, _ = truth.box_px
        eyes = np.stack([truth.eyes_px[:, 1], width - 1 - truth.eyes_px[:, 0]], axis=1)
        found = Detection(np.array([y, width - 1 - x - side, side, side]), 0.9, eyes)
        (face,) = make_tracker(Fake(lambda _: [found])).step(Frame(turned, 0.0, 0)).faces
        (upright,) = make_tracker().step(Frame(frames[3].image_rgb, 0.0, 0)).faces
        back = np.stack([width - 1 - face.raw.points_px[:, 1], face.raw.points_px[:, 0]], axis=1)
        assert error_percent(back, upright.raw.points_px) < 2


class TestIdentity:
    def test_a_gap_that_is_too_long_ends_the_identity(self, make_tracker: Make, frames: list[Frame]) -> None:
        start, gap = at(frames, range(5)), [Frame(BLACK, (5 + n) / 30, 5 + n) for n in range(20)]
        end = [Frame(frames[n].image_rgb, (20 + n) / 30, 20 + n) for n in range(5, 20)]
        seen = faces_of(follow(make_tracker(), [*start, *gap, *end]))
        assert seen[4:20] == [[(1, "tracking")], *[[(1, "coasting")]] * 15]  # .5 s at 30 frames a second
        assert seen[20:25] == [[]] * 5
        assert seen[33:] == [[(2, "tracking")]] * 7  # the detector of the test finds no face in a turned picture

    def test_a_still_picture_keeps_one_id_and_comes_to_rest(self, make_tracker: Make, frames: list[Frame]) -> None:
        results = follow(make_tracker(), at(frames, [10] * 40))
        assert faces_of(results) == [[(1, "tracking")]] * 40
        last = [result.faces[0].landmarks.points_px for result in results[-10:]]
        assert max(error_percent(a, b) for a, b in pairwise(last)) < 0.3

    def test_two_faces_side_by_side(
        self, make_tracker: Make, on_two_halves: Fake, clip: DemoClip, frames: list[Frame]
    ) -> None:
        """Each keeps its own id and its own landmarks; the one that goes leaves the other alone."""
        left, right = frames[3].image_rgb, frames[75].image_rgb
        both, alone = np.hstack([left, right]), np.hstack([BLACK, right])
        stream = [Frame(both if n < 10 else alone, n / 30, n) for n in range(35)]
        tracker = make_tracker(on_two_halves, max_faces=2)
        results = follow(tracker, stream)
        seen = faces_of(results)
        assert seen[:10] == [[(1, "tracking"), (2, "tracking")]] * 10
        assert seen[10] == [(1, "tracking"), (2, "coasting")]
        assert seen[-1] == [(1, "tracking")]
        one, two = (face.landmarks.points_px for face in results[9].faces)  # the larger one first
        assert error_percent(two, clip.truth_px(3)) < 6
        assert error_percent(one - (320, 0), clip.truth_px(75)) < 6

    def test_a_newcomer_is_found_within_a_second(
        self, make_tracker: Make, on_two_halves: Fake, frames: list[Frame]
    ) -> None:
        left, right = frames[3].image_rgb, frames[75].image_rgb
        alone, both = np.hstack([left, BLACK]), np.hstack([left, right])
        stream = [Frame(alone if n < 5 else both, n / 10, n) for n in range(16)]
        results = follow(make_tracker(on_two_halves, max_faces=2), stream)
        seen = faces_of(results)
        assert seen[0] == [(1, "tracking")]
        assert seen[-1] == [(1, "tracking"), (2, "tracking")]
        assert [r.index for r in results if "detect" in r.stage_s] == [0, 10]

    def test_no_more_faces_than_wanted(self, make_tracker: Make, on_two_halves: Fake, frames: list[Frame]) -> None:
        both = np.hstack([frames[3].image_rgb, frames[75].image_rgb])
        stream = [Frame(both, time_s, n) for n, time_s in enumerate([0, 0.4, 0.8, 100])]
        seen = faces_of(follow(make_tracker(on_two_halves), stream))
        assert seen == [*[[(1, "tracking")]] * 3, [(2, "tracking")]]  # no number is lost on the other one

    def test_a_detector_that_repeats_itself_makes_one_face(
        self, make_tracker: Make, fake_detector: Any, frames: list[Frame]
    ) -> None:
        detector = Fake(lambda image: fake_detector.detect(image) * 3)
        results = follow(make_tracker(detector, max_faces=3), [Frame(frames[3].image_rgb, n, n) for n in (0, 1)])
        assert faces_of(results) == [[(1, "tracking")]] * 2

    def test_reset_forgets_and_counts_from_one(self, make_tracker: Make, frames: list[Frame]) -> None:
        tracker = make_tracker()
        first = follow(tracker, frames[66:70])
        tracker.reset()
        assert records(follow(tracker, frames[66:70])) == records(first)


@pytest.fixture(scope="module")
def two_faces(shared: Path) -> tuple[Image, Image]:
    """Pictures of two people, 150 x 150 px, the face filling two thirds of each."""
    faces = []
    for name in ("image_0001", "image_0008"):
        labels = read_pts(shared / f"data/300w/lfpw/testset/{name}.pts")
        image = read_picture(next((shared / "data/300w/lfpw/testset").glob(f"{name}.[jp][pn]g")))
        assert image is not None
        roi = roi_of_landmarks(labels)
        faces.append(crop(image, Roi(roi.center_px, 1.3 * roi.side_px), 150))
    return faces[0], faces[1]


def scene(*placed: tuple[Image, float]) -> Image:
    """A grey 640 x 300 picture with faces at these x, the last in front."""
    image: Image = np.full((300, 640, 3), 120, np.uint8)
    for face, x in placed:
        image[75:225, round(x) : round(x) + 150] = face
    return image


@pytest.fixture
def yunet(shared: Path) -> Callable[..., Tracker]:
    def make(max_faces: int, model: str | None = None) -> Tracker:
        path = shared / "data/models/yunet_n_320_320.onnx"
        return Tracker(model, detector="yunet", detector_model=path, max_faces=max_faces)

    return make


def watch(tracker: Tracker, images: Iterable[Image]) -> list[dict[int, float]]:
    """By frame, the middle of each face that was measured, in x, by its id."""
    results = follow(tracker, [Frame(image, n / 30, n) for n, image in enumerate(images)])
    return [{f.id: float(f.raw.points_px[:, 0].mean()) for f in r.faces if f.state == "tracking"} for r in results]


class TestScenes:
    """Real faces, a real detector, known motion."""

    def test_two_that_cross_keep_their_ids(self, two_faces: tuple[Image, Image], yunet: Callable[..., Tracker]) -> None:
        """With edge68_300w: edge68 gives the face behind up, which is covered a little longer than it is held."""
        front, behind = two_faces
        path = np.linspace(0, 1, 50)
        seen = watch(yunet(2, "edge68_300w"), [scene((behind, 470 - 450 * t), (front, 20 + 450 * t)) for t in path])
        assert len(seen[2]) == 2
        left, right = sorted(seen[2], key=seen[2].__getitem__)
        assert sorted(seen[-1], key=seen[-1].__getitem__) == [right, left]
        for t, frame in zip(path, seen):
            assert abs(frame.get(left, 95 + 450 * t) - 95 - 450 * t) < 25
            assert abs(frame.get(right, 545 - 450 * t) - 545 + 450 * t) < 25

    def test_one_that_leaves_and_comes_back_is_a_new_one_and_leaves_the_other_alone(
        self, two_faces: tuple[Image, Image], yunet: Callable[..., Tracker]
    ) -> None:
        stays, goes = two_faces
        seen = watch(yunet(2), [scene((stays, 60), *([] if 10 <= n < 40 else [(goes, 400)])) for n in range(80)])
        first = seen[2]
        assert len(first) == 2
        stayed = min(first, key=first.__getitem__)
        assert all(abs(frame[stayed] - first[stayed]) < 5 for frame in seen[2:])
        assert all(set(frame) == {stayed} for frame in seen[10:40])
        (back,) = set(seen[-1]) - {stayed}
        assert back not in first
        assert abs(seen[-1][back] - 475) < 15

    def test_a_newcomer_is_found_within_a_second_and_a_half(
        self, two_faces: tuple[Image, Image], yunet: Callable[..., Tracker]
    ) -> None:
        stays, comes = two_faces
        seen = watch(yunet(2), [scene((stays, 60), *([(comes, 400)] if n >= 5 else [])) for n in range(50)])
        assert len(seen[4]) == 1 and len(seen[-1]) == 2

    def test_a_cut_to_another_person_near_the_same_place_is_a_new_face(
        self, two_faces: tuple[Image, Image], yunet: Callable[..., Tracker]
    ) -> None:
        before, after = two_faces
        bright = scene((after, 250))
        bright[:, :240] = bright[:, 405:] = 255
        seen = watch(yunet(1), [scene((before, 220))] * 10 + [bright] * 10)
        assert set(seen[9]) == {1}
        assert set(seen[-1]) == {2}

    def test_the_front_of_two_is_not_left_for_the_other(
        self, two_faces: tuple[Image, Image], yunet: Callable[..., Tracker]
    ) -> None:
        """One face is wanted; the one that is followed is kept, though the detector sees another as well."""
        seen = watch(yunet(1), [scene((two_faces[0], 60), *([(two_faces[1], 400)] if n else [])) for n in range(70)])
        assert all(set(frame) == {1} and frame[1] < 200 for frame in seen)

    def test_one_black_frame_is_no_cut(self, make_tracker: Make, frames: list[Frame]) -> None:
        stream = [frames[n].image_rgb if n != 5 else np.zeros_like(frames[n].image_rgb) for n in range(10)]
        seen = faces_of(follow(make_tracker(), [Frame(x, n / 30, n) for n, x in enumerate(stream)]))
        assert seen == [[(1, "coasting" if n == 5 else "tracking")] for n in range(10)]

    def test_what_is_lost_is_said_once_with_its_reason(self, make_tracker: Make, frames: list[Frame]) -> None:
        stream = [frames[0], *(Frame(NOISE, n / 30, n) for n in range(1, 40))]
        lost = [face for result in follow(make_tracker(), stream) for face in result.lost]
        assert [(face.id, face.reason) for face in lost] == [(1, "last seen at 0.000 s")]


class TestFaults:
    def test_an_engine_that_answers_with_nan_measures_nothing(
        self, make_tracker: Make, frames: list[Frame], caplog: pytest.LogCaptureFixture
    ) -> None:
        tracker = make_tracker()
        sound = tracker.engine

        class FakeBroken:
            """The engine, whose every fifth answer is not a number."""

            spec, calls = sound.spec, 0

            def run(self, crops: Image) -> EngineOutput:
                self.calls += 1
                output = sound.run(crops)
                return dataclasses.replace(output, points_px=output.points_px * (np.nan if self.calls % 5 == 0 else 1))

        broken = make_tracker(model=FakeBroken())
        results = follow(broken, frames[:12])
        states = [state for faces in faces_of(results) for _, state in faces]
        assert states == ["tracking"] * 12  # the detector finds the face again in the same frame
        assert all(np.isfinite(face.landmarks.points_px).all() for result in results for face in result.faces)
        assert "returned invalid values for 1 of 1 faces" in caplog.text

    def test_a_detector_that_raises_is_one_sentence(self, make_tracker: Make, frames: list[Frame]) -> None:
        def detect(image_rgb: Image) -> list[Detection]:
            raise cv2.error("(-215:Assertion failed)\n  in function 'detect'")

        tracker = make_tracker(Fake(detect))
        with pytest.raises(TrackerError, match=r"^the detector yunet failed on frame 0 \(.*Assertion failed.*\); try"):
            tracker.step(frames[0])


class TestTogether:
    def test_several_give_what_each_alone_gives(self, make_tracker: Make, frames: list[Frame]) -> None:
        """Three sources, one of them without a face."""
        first = make_tracker()
        calls: list[int] = []

        class Counted:
            spec = first.engine.spec

            def run(self, crops: Image) -> EngineOutput:
                calls.append(len(crops))
                return first.engine.run(crops)

        engine = Counted()
        streams = [frames[:10], [Frame(NOISE, n / 30, n) for n in range(10)], at(frames, range(80, 90))]
        batch = BatchTracker([make_tracker(model=engine) for _ in streams])
        results = list(map(batch.step, zip(*streams)))
        assert calls[:4] == [2, 1, 2, 1]  # two have a new face: measured both ways up, then again in its own ROI
        assert calls[4:] == [2] * 9  # both tracked faces in one batch
        for which, stream in enumerate(streams):
            alone = follow(make_tracker(), stream)
            for mine, theirs in zip(alone, results):
                other = theirs[which]
                assert other is not None
                assert faces_of([mine]) == faces_of([other])
                for a, b in zip(mine.faces, other.faces):
                    np.testing.assert_allclose(a.landmarks.points_px, b.landmarks.points_px, atol=1e-3)

    def test_a_frame_on_the_gpu_is_measured_there(self, make_tracker: Make, frames: list[Frame]) -> None:
        """The detector sees a copy of half the size; landmarks are those of the whole frame."""
        whole = make_tracker()

        class FakeGpuEngine:
            """Crops the picture that stands for the GPU's memory, as the kernel would."""

            spec = whole.engine.spec

            def run(self, crops: Image) -> EngineOutput:
                raise AssertionError("the frame is on the GPU")

            def run_on(self, frame: GpuFrame, crops_from_image: Iterable[Array]) -> EngineOutput:
                assert isinstance(frame.owner, np.ndarray)
                return whole.engine.run(np.stack([warp(frame.owner, view, 128) for view in crops_from_image]))

        def on_gpu(frame: Frame) -> Frame:
            large = cv2.resize(frame.image_rgb, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
            gpu = GpuFrame(4096, large.shape[1], large.shape[0], 3 * large.shape[1], owner=large)
            return Frame(frame.image_rgb, frame.timestamp_s, frame.index, gpu)

        tracker = make_tracker(model=FakeGpuEngine())
        for mine, theirs in zip(follow(tracker, map(on_gpu, frames[:8])), follow(whole, frames[:8])):
            (a,), (b,) = mine.faces, theirs.faces
            back = (a.raw.points_px + 0.5) / 2 - 0.5
            assert np.linalg.norm(back - b.raw.points_px, axis=1).mean() < 0.5

    def test_two_engines_are_refused(self, make_tracker: Make, frames: list[Frame]) -> None:
        with pytest.raises(ValueError, match="need one engine"):
            BatchTracker([make_tracker(), make_tracker()])

    def test_a_source_without_a_new_frame(self, make_tracker: Make, frames: list[Frame]) -> None:
        first = make_tracker()
        batch = BatchTracker([first, make_tracker(model=first.engine)])
        assert [result and len(result.faces) for result in batch.step([None, frames[0]])] == [None, 1]
        assert [result and len(result.faces) for result in batch.step([frames[0], None])] == [1, None]
        assert batch.step([None, None]) == [None, None]

    def test_pictures_between_the_frames(self, make_tracker: Make, frames: list[Frame]) -> None:
        first = make_tracker()
        batch = BatchTracker([first, make_tracker(model=first.engine)])
        ids = []
        for n in range(4):
            pair = batch.step([frames[n], dataclasses.replace(frames[40 + n], still=True)])
            ids.append([[face.id for face in result.faces] for result in pair if result])
        assert ids == [[[1], [1]]] * 4

    def test_what_is_no_frame_changes_no_tracker(self, make_tracker: Make, frames: list[Frame]) -> None:
        first = make_tracker()
        batch = BatchTracker([first, make_tracker(model=first.engine)])
        with pytest.raises(TrackerError, match=r"step expected a Frame\(image_rgb, timestamp_s, index\), got ndarray"):
            batch.step([frames[0], frames[0].image_rgb])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="expected 2 frames, one for each tracker, got 1"):
            batch.step([frames[0]])
        with pytest.raises(ValueError, match="got one of them twice"):
            BatchTracker([first, first])


class TestNoFace:
    @pytest.mark.parametrize("image", [BLACK, NOISE, 255 - BLACK], ids=["black", "noise", "white"])
    def test_what_the_detector_takes_for_a_face_is_refused(self, make_tracker: Make, image: Image) -> None:
        results = follow(make_tracker(Fake(in_the_middle)), [Frame(image, n / 30, n) for n in range(3)])
        assert faces_of(results) == [[]] * 3

    @pytest.mark.parametrize("image", [BLACK, NOISE, BLACK[:1, :1]], ids=["black", "noise", "1x1"])
    def test_with_a_real_detector(self, shared: Path, image: Image) -> None:
        tracker = Tracker(detector_model=shared / "data/models/yunet_n_320_320.onnx")
        assert faces_of(follow(tracker, [Frame(image, n / 30, n) for n in range(3)])) == [[]] * 3

    def test_a_face_that_vanishes_in_noise_is_not_held_on_to(self, make_tracker: Make, frames: list[Frame]) -> None:
        results = follow(make_tracker(), [frames[0], frames[1], Frame(NOISE, 2 / 30, 2), Frame(NOISE, 1, 3)])
        assert faces_of(results)[1:] == [[(1, "tracking")], [(1, "coasting")], []]


class TestTime:
    def test_the_same_time_again(self, make_tracker: Make, frames: list[Frame]) -> None:
        results = follow(make_tracker(), [Frame(frames[n].image_rgb, 0.0, n) for n in range(10)])
        assert faces_of(results) == [[(1, "tracking")]] * 10

    def test_measured_means_in_this_frame_even_at_the_same_time(self, make_tracker: Make, frames: list[Frame]) -> None:
        """Pictures that all say 0 s: a face is not taken for measured where there is none, and found elsewhere."""
        images = [frames[0].image_rgb, BLACK, frames[80].image_rgb]
        seen = faces_of(follow(make_tracker(), [Frame(image, 0.0, n) for n, image in enumerate(images)]))
        assert seen == [[(1, "tracking")], [(1, "coasting")], [(2, "tracking")]]

    def test_backwards_starts_anew(self, make_tracker: Make, frames: list[Frame]) -> None:
        stream = [Frame(frames[n].image_rgb, 10 - n, n) for n in range(4)]
        assert faces_of(follow(make_tracker(), stream)) == [[(n, "tracking")] for n in (1, 2, 3, 4)]

    def test_a_long_pause_starts_anew(self, make_tracker: Make, frames: list[Frame]) -> None:
        stream = [Frame(frames[0].image_rgb, 0.0, 0), Frame(frames[0].image_rgb, 1e9, 1)]
        assert faces_of(follow(make_tracker(), stream)) == [[(1, "tracking")], [(2, "tracking")]]

    def test_uneven_steps_keep_the_id(self, make_tracker: Make, frames: list[Frame]) -> None:
        times = np.cumsum(np.random.default_rng(0).uniform(0, 0.1, 30))
        stream = [Frame(frames[n].image_rgb, float(times[n]), n) for n in range(30)]
        assert faces_of(follow(make_tracker(), stream)) == [[(1, "tracking")]] * 30


class TestPictures:
    def test_the_size_may_change_in_the_middle(self, make_tracker: Make, clip: DemoClip, frames: list[Frame]) -> None:
        tracker = make_tracker()
        for n, size in enumerate([(320, 240), (640, 480), (1, 1), (160, 120), (7, 301), (480, 360)]):
            image = np.asarray(cv2.resize(frames[3].image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
            result = tracker.step(Frame(image, n / 30, n))
            if size[0] / size[1] == 4 / 3:
                truth = (clip.truth_px(3) + 0.5) * size[0] / 320 - 0.5
                measured = [face for face in result.faces if face.state == "tracking"]
                assert min(error_percent(face.raw.points_px, truth) for face in measured) < 8

    def test_the_picture_is_left_alone(self, make_tracker: Make, frames: list[Frame]) -> None:
        image = frames[3].image_rgb.copy()
        make_tracker().step(Frame(image, 0.0, 0))
        np.testing.assert_array_equal(image, frames[3].image_rgb)

    def test_a_result_never_changes(self, make_tracker: Make, frames: list[Frame]) -> None:
        tracker = make_tracker()
        result = tracker.step(frames[0])
        before = result.to_json()
        follow(tracker, frames[1:4])
        assert result.to_json() == before
        (face,) = result.faces
        for owner, name in ((result, "faces"), (face, "id"), (face.landmarks, "points_px")):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(owner, name, None)
        for array in (face.landmarks.points_px, face.landmarks.scores, face.raw.covariances_px2):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


class TestRun:
    def test_a_video_by_its_path(self, make_tracker: Make, clip: DemoClip, video: Path) -> None:
        results = list(make_tracker().run(video))
        assert_tracks_the_clip(clip, results)
        assert [result.timestamp_s for result in results] == pytest.approx([n / 30 for n in range(90)])

    def test_again_gives_the_same_again(self, make_tracker: Make, video: Path) -> None:
        tracker = make_tracker()
        first = [result.to_json() for result, _ in zip(tracker.run(video), range(5))]
        assert records(result for result, _ in zip(tracker.run(str(video)), range(5))) == first
        assert first[0]["faces"][0]["id"] == 1

    def test_a_folder_of_pictures(self, make_tracker: Make, frames: list[Frame], tmp_path: Path) -> None:
        """Each for itself: a second apart, no face is carried from one to the next."""
        for index in (0, 10, 55, 80):
            cv2.imwrite(str(tmp_path / f"{index}.png"), frames[index].image_rgb[..., ::-1])
        results = list(make_tracker().run(tmp_path))
        assert faces_of(results) == [[(1, "tracking")], [(1, "tracking")], [], [(1, "tracking")]]
        assert [result.picture for result in results] == ["0.png", "10.png", "55.png", "80.png"]
        assert not any(result.lost for result in results)

    def test_a_source_of_ones_own_is_closed_at_the_end(self, make_tracker: Make, clip: DemoClip) -> None:
        for count in (2, 3):
            source = DemoClip(clip.size, seconds=0.1)
            results = make_tracker().run(source)
            assert [next(results).index for _ in range(count)] == list(range(count))
            results.close() if count < 3 else list(results)  # type: ignore[attr-defined]
            assert list(source) == []

    def test_what_cannot_be_opened_is_one_sentence(self, make_tracker: Make, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"none\.mp4 does not exist"):
            next(make_tracker().run(tmp_path / "none.mp4"))

    def test_two_threads_give_what_one_after_the_other_gives(self, frames: list[Frame]) -> None:
        """With the real detector, as its state is what threads could mix up."""
        streams = [at(frames, range(45, 62)), at(frames, range(66, 49, -1))]
        alone = [records(follow(Tracker(), stream)) for stream in streams]
        together: list[Any] = [None, None]

        def work(n: int, tracker: Tracker) -> None:
            together[n] = records(follow(tracker, streams[n]))

        threads = [threading.Thread(target=work, args=(n, Tracker())) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert together == alone
        assert Counter(face["state"] for record in alone[0] for face in record["faces"])["coasting"] > 5


def test_nothing_need_be_said(frames: list[Frame]) -> None:
    tracker = Tracker()
    assert (tracker.detector.name, tracker.max_faces, tracker.scheme.name) == ("yunet", 1, "ibug68")
    assert faces_of([tracker.step(frames[0])]) == [[(1, "tracking")]]


def test_a_model_that_is_none_is_one_sentence(make_tracker: Make, tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"landmark model: expected .*, got .*none\.onnx$"):
        make_tracker(model=tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(TrackerError, match="expected an ONNX model"):
        make_tracker(model=str(tmp_path / "text.onnx"))
