"""Faults put in, from end to end: what cameras, detectors and engines get wrong ends in a result or in one sentence.

Those of sources and sinks alone are held by their own tests; here they meet the whole tracker, with the real model.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tracker import Frame, FrameResult, Tracker, TrackerError
from tracker.detectors.base import Detection
from tracker.detectors.yunet import CALIBRATION
from tracker.engines.base import EngineOutput
from tracker.run import main
from tracker.tracking.clock import LARGEST_S

Image = NDArray[np.uint8]
Make = Callable[..., Tracker]
Bend = Callable[[EngineOutput], EngineOutput]

SIZE = (240, 320, 3)
NOISE = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
PICTURES: dict[str, Callable[[Image, Image], Image]] = {
    "black": lambda now, other: np.zeros_like(now),
    "white": lambda now, other: np.full_like(now, 255),
    "grey": lambda now, other: np.full_like(now, 127),
    "noise": lambda now, other: NOISE,
    "green": lambda now, other: np.full_like(now, (0, 135, 0)),  # what decoders give for nothing
    "torn": lambda now, other: np.concatenate([now[:120], other[120:]]),
    "torn across the face": lambda now, other: np.concatenate([now[:110], np.roll(now[110:], 60, axis=1)]),
    "repeated rows": lambda now, other: np.repeat(now[120:121], 240, axis=0),
    "inverted": lambda now, other: 255 - now,
}


class FakeFailing:
    """A FakeDetector or the sound engine, which fails in the calls that are named."""

    def __init__(self, sound: Any, failing: Sequence[int], error: Exception) -> None:
        self._sound, self._failing, self._error = sound, failing, error
        self.calls = 0
        self.name = getattr(sound, "name", "")
        self.calibration = getattr(sound, "calibration", None)
        self.spec = getattr(sound, "spec", None)

    def _counted(self) -> None:
        self.calls += 1
        if self.calls in self._failing:
            raise self._error

    def detect(self, image_rgb: Image) -> list[Detection]:
        self._counted()
        return list(self._sound.detect(image_rgb))

    def run(self, crops: Image) -> Any:
        self._counted()
        return self._sound.run(crops)


class FakeBent:
    """The sound engine; in the calls that are named its answers are bent."""

    def __init__(self, sound: Any, bend: Bend, calls: Sequence[int]) -> None:
        self.spec = sound.spec
        self._sound, self._bend, self._bent = sound, bend, calls
        self.calls = 0

    def run(self, crops: Image) -> EngineOutput:
        self.calls += 1
        output: EngineOutput = self._sound.run(crops)
        return self._bend(output) if self.calls in self._bent else output


class FakeDetector:
    """Finds the same in every picture."""

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self, found: list[Detection]) -> None:
        self._found = found

    def detect(self, image_rgb: Image) -> list[Detection]:
        return self._found


class FakeFour:
    """Four of the clip's frames as one picture, and a detector that knows each quarter."""

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self, frames: list[Frame], sound: Any) -> None:
        self._sound = sound
        self.pictures = [self._together([frames[start + n].image_rgb for start in (0, 15, 30, 70)]) for n in range(18)]

    @staticmethod
    def _together(four: list[Image]) -> Image:
        return np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])

    def detect(self, image_rgb: Image) -> list[Detection]:
        found = []
        for x, y in ((0, 0), (320, 0), (0, 240), (320, 240)):
            for face in self._sound.detect(np.ascontiguousarray(image_rgb[y : y + 240, x : x + 320])):
                found.append(Detection(face.box_px + (x, y, 0, 0), face.score, face.eyes_px + (x, y)))
        return found


@pytest.fixture
def four(frames: list[Frame], fake_detector: Any) -> FakeFour:
    return FakeFour(frames, fake_detector)


def follow(tracker: Tracker, images: Sequence[Image], start: int = 0) -> list[FrameResult]:
    return [tracker.step(Frame(image, n / 30, n)) for n, image in enumerate(images, start)]


def seen(results: Sequence[FrameResult]) -> list[list[tuple[int, str]]]:
    return [[(face.id, face.state) for face in result.faces] for result in results]


def assert_sound(results: Sequence[FrameResult], most: int) -> None:
    """What holds of every result, whatever came in."""
    gone: set[int] = set()
    for result in results:
        ids = [face.id for face in result.faces]
        assert len(ids) == len(set(ids)) <= most
        gone |= {face.id for face in result.lost}
        assert not gone & set(ids)  # who is lost does not come back under the same number
        for face in result.faces:
            for landmarks in (face.landmarks, face.raw):
                numbers = (landmarks.points_px, landmarks.scores, landmarks.covariances_px2, face.box_px)
                assert all(np.isfinite(part).all() for part in numbers)
            assert 0 <= face.score <= 1


@pytest.fixture(scope="module")
def sound(make_tracker: Make, frames: list[Frame]) -> list[FrameResult]:
    """What there is without a fault."""
    return follow(make_tracker(), [frame.image_rgb for frame in frames[:15]])


class TestPictures:
    @pytest.mark.parametrize("fault", PICTURES)
    def test_bad_ones_are_got_over(
        self, fault: str, make_tracker: Make, frames: list[Frame], sound: list[FrameResult]
    ) -> None:
        """One alone and five in a row: the face is measured again as soon as it can be seen, and is the same."""
        images, bad = [frame.image_rgb for frame in frames[:15]], (4, 8, 9, 10, 11, 12)
        for n in bad:
            images[n] = PICTURES[fault](images[n], frames[80].image_rgb)
        results = follow(make_tracker(), images)
        assert_sound(results, 1)
        assert [faces for n, faces in enumerate(seen(results)) if n not in bad] == [[(1, "tracking")]] * 9
        after, right = (each[14].faces[0].raw.points_px for each in (results, sound))
        np.testing.assert_allclose(after, right, atol=1.0)


SHAPES = [(240, 320), (480, 640), (1, 1), (1, 300), (300, 1), (2, 2), (15, 17), (33, 64)]
STEPS_S = [1 / 30, 1 / 30, 0.0, -1 / 30, -5.0, 1e-12, 0.4, 3.0, 1e12, math.nan, math.inf, -math.inf]


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[int, str, tuple[int, int], float]]:
    """What each frame is like: which of the clip's, its fault or none, its size, its time."""
    faults, time_s, frames = st.sampled_from(["", "", "", *PICTURES]), 0.0, []
    for index in draw(st.lists(st.integers(0, 89), min_size=2, max_size=12)):
        step_s = draw(st.sampled_from(STEPS_S))
        time_s = time_s + step_s if math.isfinite(time_s) else step_s
        frames.append((index, draw(faults), draw(st.sampled_from(SHAPES)), time_s))
    return frames


@given(streams())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_pictures_sizes_and_times(
    make_tracker: Make, frames: list[Frame], stream: list[tuple[int, str, tuple[int, int], float]]
) -> None:
    """Only a time that is none is refused, and afterwards a face that is shown is found in the turns of the search."""
    tracker, results = make_tracker(max_faces=3), []
    for n, (index, fault, (height, width), time_s) in enumerate(stream):
        image = frames[index].image_rgb
        image = PICTURES[fault](image, frames[80].image_rgb) if fault else image
        resized = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if not abs(time_s) < LARGEST_S:
            with pytest.raises(TrackerError, match="expected its timestamp_s in seconds as a finite number"):
                tracker.step(Frame(resized, time_s, n))
            continue
        results.append(tracker.step(Frame(resized, time_s, n)))
        assert results[-1].index == n
    assert_sound(results, 3)
    after = [tracker.step(Frame(frames[index].image_rgb, 1e6 + index / 30, index)) for index in range(12)]
    assert [state for faces in seen(after)[-3:] for _, state in faces] == ["tracking"] * 3


def nan(output: EngineOutput) -> EngineOutput:
    return dataclasses.replace(output, points_px=output.points_px * np.float32(np.nan))


BENDS: dict[str, Bend] = {
    "points that are not numbers": nan,
    "rows that are not numbers": lambda o: dataclasses.replace(o, points_px=o.points_px * np.float32([1, np.nan])),
    "columns that are not numbers": lambda o: dataclasses.replace(o, points_px=o.points_px * np.float32([np.nan, 1])),
    "infinite points": lambda o: dataclasses.replace(o, points_px=o.points_px + np.float32(np.inf)),
    "negative covariances": lambda o: dataclasses.replace(
        o, covariances_px2=o.covariances_px2 - np.float32([0, 0, 100])
    ),
    "endless covariances": lambda o: dataclasses.replace(
        o, covariances_px2=o.covariances_px2 + np.float32([1e38, 0, 0])
    ),
    "one score that is none": lambda o: dataclasses.replace(o, scores=np.where(np.arange(68) == 7, np.nan, o.scores)),
    "infinite covariances": lambda o: dataclasses.replace(o, covariances_px2=np.full_like(o.covariances_px2, np.inf)),
    "points far away": lambda o: dataclasses.replace(o, points_px=o.points_px * np.float32(1e30)),
    "points all the same": lambda o: dataclasses.replace(o, points_px=np.full_like(o.points_px, 60)),
    "points on a line": lambda o: dataclasses.replace(o, points_px=o.points_px * np.array([1, 0], np.float32)),
    "points elsewhere": lambda o: dataclasses.replace(o, points_px=o.points_px + np.float32(500)),
    "scores beyond 1": lambda o: dataclasses.replace(o, scores=o.scores * 100),
    "no score": lambda o: dataclasses.replace(o, scores=o.scores * 0),
    "zero covariances": lambda o: dataclasses.replace(o, covariances_px2=o.covariances_px2 * 0),
}


class TestEngine:
    @pytest.mark.parametrize("bend", BENDS)
    def test_answers_that_cannot_be(
        self, bend: str, make_tracker: Make, frames: list[Frame], sound: list[FrameResult]
    ) -> None:
        """In some calls, first and later; then the face is there again, unharmed."""
        engine = FakeBent(make_tracker().engine, BENDS[bend], [1, 2, 6, 7, 8, 9])
        results = follow(make_tracker(model=engine), [frame.image_rgb for frame in frames[:15]])
        assert engine.calls > 9
        assert_sound(results, 1)
        assert [state for faces in seen(results)[12:] for _, state in faces] == ["tracking"] * 3
        for bent, right in zip(results[12:], sound[12:]):
            np.testing.assert_allclose(bent.faces[0].raw.points_px, right.faces[0].raw.points_px, atol=1.0)

    def test_nan_for_one_of_four_faces(self, make_tracker: Make, four: FakeFour) -> None:
        """The others go on as if nothing were; it coasts, and is found again where it is."""
        right = follow(make_tracker(four, max_faces=4), four.pictures)
        assert seen(right)[2:] == [[(n, "tracking") for n in (1, 2, 3, 4)]] * (len(right) - 2)

        def third(output: EngineOutput) -> EngineOutput:
            return nan(output) if len(output.scores) <= 2 else replaced(output, 2)  # of that face alone, both ways up

        def replaced(output: EngineOutput, row: int) -> EngineOutput:
            points = output.points_px.copy()
            points[row, 5] = np.nan
            return dataclasses.replace(output, points_px=points)

        engine = FakeBent(make_tracker().engine, third, range(8, 14))
        results = follow(make_tracker(four, model=engine, max_faces=4), four.pictures)
        assert engine.calls > 14
        states = [face.state for result in results for face in result.faces if face.id == 3]
        assert states.count("coasting") >= 3 and states[-5:] == ["tracking"] * 5
        for bent, sound in zip(results, right):
            others = [[face for face in result.faces if face.id != 3] for result in (bent, sound)]
            assert [face.state for face in others[0]] == [face.state for face in others[1]]
            for a, b in zip(*others):
                np.testing.assert_allclose(a.landmarks.points_px, b.landmarks.points_px, atol=1e-3)

    def test_an_error_in_one_step_leaves_the_next_ones_alone(
        self, make_tracker: Make, frames: list[Frame], sound: list[FrameResult]
    ) -> None:
        """Whoever catches it, goes on: the same face, measured as before."""
        engine = FakeFailing(make_tracker().engine, [5], TrackerError("CUDA failed: out of memory"))
        tracker = make_tracker(model=engine)
        before = [tracker.step(frame) for frame in frames[:3]]
        with pytest.raises(TrackerError, match=r"^CUDA failed: out of memory$"):
            tracker.step(frames[3])
        after = [tracker.step(frame) for frame in frames[4:9]]
        assert seen([*before, *after]) == [[(1, "tracking")]] * 8
        np.testing.assert_allclose(after[-1].faces[0].raw.points_px, sound[8].faces[0].raw.points_px, atol=1.0)


class TestDetector:
    @pytest.mark.parametrize("failing", [1, 2, 4])
    def test_an_error_in_one_step_leaves_the_next_ones_alone(
        self, failing: int, make_tracker: Make, frames: list[Frame], fake_detector: Any
    ) -> None:
        """At the very first frame, while a face coasts, and while nobody is there."""
        images = [frames[0].image_rgb, *[PICTURES["black"](NOISE, NOISE)] * 30, *[f.image_rgb for f in frames[:12]]]
        detector = FakeFailing(fake_detector, [failing], cv2.error("(-215:Assertion failed)\n  in 'forward'"))
        tracker, results, errors = make_tracker(detector), [], []
        for n, image in enumerate(images):
            try:
                results.append(tracker.step(Frame(image, n / 30, n)))
            except TrackerError as error:
                errors.append(str(error))
        assert len(errors) == 1 and "the detector yunet failed on frame" in errors[0] and "\n" not in errors[0]
        assert_sound(results, 1)
        assert [state for faces in seen(results)[-3:] for _, state in faces] == ["tracking"] * 3

    def test_boxes_that_cannot_be_are_no_faces(self, make_tracker: Make, frames: list[Frame]) -> None:
        """Empty, upside down, beyond the picture, no numbers; both eyes in one place."""
        places = [(0, 0, 0, 0), (50, 50, -20, -20), (1e6, 1e6, 50, 50), (-5000, 0, 10000, 10000), (10, 10, 1e-9, 1e-9)]
        places += [(math.nan, 0, 50, 50), (0, 0, math.inf, math.inf)]
        found = [Detection(np.array(box, float), 0.9, np.full((2, 2), 60.0)) for box in places]
        results = follow(make_tracker(FakeDetector(found), max_faces=8), [frame.image_rgb for frame in frames[:3]])
        assert_sound(results, 8)


def test_a_tracker_that_fails_does_not_disturb_the_one_in_another_thread(
    make_tracker: Make, frames: list[Frame]
) -> None:
    alone = seen(follow(make_tracker(), [frame.image_rgb for frame in frames[:20]]))
    shared = make_tracker().engine
    failing = make_tracker(model=FakeFailing(shared, range(1, 100, 3), TrackerError("CUDA failed")))
    going = make_tracker(model=shared)
    errors: list[TrackerError] = []

    def fail() -> None:
        for frame in frames[:20]:
            try:
                failing.step(frame)
            except TrackerError as error:
                errors.append(error)

    thread = threading.Thread(target=fail)
    thread.start()
    together = seen(follow(going, [frame.image_rgb for frame in frames[:20]]))
    thread.join()
    assert together == alone
    assert len(errors) > 5


class TestRun:
    """The command; its inputs are sound, what it uses fails in the middle."""

    @pytest.fixture
    def call(
        self, make_tracker: Make, monkeypatch: pytest.MonkeyPatch, video: Path, tmp_path: Path
    ) -> Callable[..., int]:
        """Runs it over the clip, with a tracker made of these parts."""

        def run(detector: Any = None, **options: Any) -> int:
            monkeypatch.setattr("tracker.run.Tracker", lambda *_, **__: make_tracker(detector, **options))
            outputs = [f"--{name}={tmp_path / file}" for name, file in OUTPUTS.items()]
            monkeypatch.setattr(sys, "argv", ["tracker.run", f"--video={video}", *outputs])
            return main()

        return run

    def assert_whole(self, folder: Path, count: int) -> None:
        """That many frames in every output, each of them whole."""
        assert sorted(path.name for path in folder.iterdir()) == sorted(OUTPUTS.values())
        lines = (folder / OUTPUTS["output"]).read_text()
        assert lines.endswith("\n")
        records = [json.loads(line) for line in lines.splitlines()]
        assert [record["frame"] for record in records] == list(range(count))
        rows = (folder / OUTPUTS["csv"]).read_text()
        assert rows.endswith("\n") and len({row.count(",") for row in rows.splitlines()}) == 1
        assert len(rows.splitlines()) == 1 + sum(len(record["faces"]) for record in records)
        capture = cv2.VideoCapture(str(folder / OUTPUTS["overlay"]))
        assert [capture.read()[0] for _ in range(count + 1)] == [True] * count + [False]
        assert json.loads((folder / OUTPUTS["stats"]).read_text())["frames"] == count

    def test_a_detector_that_raises(
        self, call: Callable[..., int], fake_detector: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """When the face is covered it is asked again, and fails."""
        detector = FakeFailing(fake_detector, [3], cv2.error("(-215:Assertion failed)\n  in function 'detect'"))
        assert call(detector) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and err.startswith("tracker.run: the detector yunet failed on frame 5")
        failed = int(err.split("on frame ")[1].split()[0])
        self.assert_whole(tmp_path, failed)

    def test_an_engine_that_raises(
        self, call: Callable[..., int], make_tracker: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        engine = FakeFailing(make_tracker().engine, [12], TrackerError("Triton at here did not answer within 5 s"))
        assert call(model=engine) == 2
        assert capfd.readouterr().err == "tracker.run: Triton at here did not answer within 5 s\n"
        self.assert_whole(tmp_path, 10)  # the first frame asks it twice

    def test_leaves_no_thread_and_no_handle(
        self, call: Callable[..., int], make_tracker: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def count() -> tuple[int, int]:
            handles = Path("/proc/self/fd")
            return threading.active_count(), len(list(handles.iterdir())) if handles.exists() else 0

        engine, counts = make_tracker().engine, []
        for _ in range(3):
            assert call(model=FakeFailing(engine, [6], TrackerError("gone"))) == 2
            counts.append(count())
        assert len(set(counts)) == 1


OUTPUTS = {"output": "out.jsonl", "csv": "out.csv", "overlay": "out.mp4", "stats": "stats.json"}
