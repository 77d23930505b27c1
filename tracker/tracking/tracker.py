"""The tracker: frames in, faces out. The only file that wires the stages."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from tracker.detectors.base import BoxCalibration, CalibratedDetector, Detection, Detector, roi_of_detection
from tracker.detectors.checked import CheckedDetector, is_box
from tracker.detectors.loading import DetectorName, load_detector
from tracker.detectors.search import Search, Turn
from tracker.engines.base import Engine
from tracker.engines.loading import load_engine
from tracker.engines.onnx import Provider
from tracker.errors import TrackerError, expect_choice
from tracker.face.crop import Roi, eye_rotation_rad, roi_of_landmarks
from tracker.face.landmarks import Landmarks
from tracker.gpu_frame import GpuFrame
from tracker.result import FrameResult, Measured, TrackedFace
from tracker.sources import Frame, Source, open_source, still_of
from tracker.tracking.association import Identities, Identity
from tracker.tracking.clock import Clock
from tracker.tracking.estimator import Measurer, Stages, next_roi
from tracker.tracking.presence import Presence
from tracker.tracking.ranking import FAR_MORE, Follow, rated, worth_of
from tracker.tracking.scene_cut import SceneCut
from tracker.tracking.schedule import DetectionSchedule
from tracker.tracking.smoothing import Smoother, Smoothing, smoother
from tracker.weights.packaged import landmark_model

if TYPE_CHECKING:
    from typing_extensions import Self

MOST_FACES, MOST_COAST_FRAMES = 1000, 1_000_000
WAIT_S, USUAL_S = 0.05, 1 / 30
"""Between frames that are no farther apart than the first, a face that the first turn of the search misses may be
measured later; of those that are as far apart as the second, each takes one turn."""

Steps = Generator[Sequence[Roi], list[Measured], FrameResult]
"""One frame's work: gives views to measure in it, is sent what was measured there, returns the result."""
Taking = Generator[Sequence[Roi], list[Measured], list[Measured]]
"""Measuring what was detected: gives views, is sent what was measured there, returns likely faces that are not sure."""


class Tracker:
    """Follows faces through frames.

    model: a landmark model, .onnx or a TensorRT .plan, or the name of a packaged one
    (tracker.weights.packaged.PACKAGED), whose first is taken if None; or an engine that is there already, as another
    tracker's. detector: finds faces; auto lets YuNet and BlazeFace take turns; or a detector of your own, an object
    with detect(image_rgb), see tracker.detectors.base.Detector. detector_model: the file of a detector given by its
    name. max_faces: how many to follow at most; so many threads share the work where there are as many cores.
    smoothing: how each face is steadied, see tracker.tracking.smoothing.PRESETS; "none" leaves it raw. provider,
    allow_cpu: what ONNX Runtime runs an .onnx model on, and whether the CPU will do instead.
    follow: which faces are taken first: the largest, the most central, or those of which the detector is surest. A face
    that is followed keeps its place, also while it coasts, but for one with four times the area or at most half the
    distance from the middle. hold_s, coast_frames: a face that is not seen is held for so many seconds, or for so many
    frames of a slow source, whichever is longer. min_score: what the model must score a view at least, 0..1, for a face
    to be followed on. A new one of which the detector is sure needs less (0.862 where min_score is 0.894), one of which
    it is not needs more (tracker.tracking.presence). None for the model's own threshold, which was fitted on validation
    data (0.894 for edge68). With a lower one more turned and covered faces are found, and more that are none.

    A context manager; leaving it, or close(), lets go of the models. Not shared between threads: make one for each.
    Raises TrackerError for models that cannot be had or read, for a max_faces that is not in 1..MOST_FACES, for a
    hold_s that is no time, a min_score that is no score, and for a name that is none of the choices.
    """

    def __init__(
        self,
        model: Path | str | Engine | None = None,
        detector: DetectorName | Detector = "auto",
        detector_model: Path | str | None = None,
        max_faces: int = 1,
        smoothing: Smoothing = "balanced",
        provider: Provider = "cpu",
        allow_cpu: bool = False,
        follow: Follow = "largest",
        hold_s: float = 0.5,
        coast_frames: int = 2,
        min_score: float | None = None,
    ) -> None:
        _expect_whole("max_faces", max_faces, 1, MOST_FACES)
        _expect_whole("coast_frames", coast_frames, 0, MOST_COAST_FRAMES)
        for what, value, choices in (
            ("smoothing", smoothing, get_args(Smoothing)),
            ("provider", provider, get_args(Provider)),
        ):
            expect_choice(what, value, choices)
        if not 0 <= hold_s < math.inf:
            raise TrackerError(f"hold_s must be a number of seconds from 0 on, got {hold_s}")
        if min_score is not None and not 0 <= min_score <= 1:
            raise TrackerError(f"min_score must be in 0..1, got {min_score}")
        self._worth = worth_of(follow)
        if model is None or isinstance(model, (Path, str)):
            model = load_engine(landmark_model(Path(model) if model else None), provider, allow_cpu, max_faces)
        self.scheme = model.spec.landmark_scheme()
        found = _open_detectors(detector, Path(detector_model) if detector_model else None)
        self._models: tuple[Engine, Search] | None = model, Search(found)
        self._presence = Presence(model.spec.presence if min_score is None else min_score)
        self.max_faces = max_faces
        self.hold_s, self.coast_frames = hold_s, coast_frames
        self.smoothing: Smoothing = smoothing
        self._busy = threading.Lock()
        self.reset()

    @property
    def engine(self) -> Engine:
        """What measures landmarks. Raises TrackerError after close."""
        return self._open_models()[0]

    @property
    def detector(self) -> CalibratedDetector:
        """What finds faces, of several the first; one of your own with the name and the calibration that it is used
        with. Raises TrackerError after close."""
        return self._open_models()[1].detectors[0]

    @property
    def min_score(self) -> float:
        """What the model must score a view at least for a face to be followed on."""
        return self._presence.min_score

    def _open_models(self) -> tuple[Engine, Search]:
        if self._models is None:
            raise TrackerError("this tracker was closed; make another one")
        return self._models

    def close(self) -> None:
        """Let go of the faces, the engine and the detector, whose memory, a GPU's too, is free once nobody else has
        them: an engine that other trackers share goes on."""
        self.reset()
        self._models = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def reset(self) -> None:
        """Forget every face, as before a new video. Identities start again at 1."""
        with self.working():
            self._clock = Clock(self.hold_s)
            self._identities = Identities(self.max_faces, self.hold_s, self.coast_frames)
            self._schedule = DetectionSchedule()
            self._cut = SceneCut()
            self._shape: tuple[int, ...] = ()
            self._refused = 0
            self._later: tuple[Taking, Sequence[Roi]] | None = None
            self._checking = False  # whether turns of the search follow that may show an unsure face better
            if self._models is not None:
                self._models[1].begin()
            self._smoothers: dict[int, Smoother] = {}
            self._steady: dict[int, Landmarks] = {}

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around all that changes the tracker. Raises TrackerError while it is at work already, in another thread."""
        if not self._busy.acquire(blocking=False):
            raise TrackerError("this tracker is at work in another thread; make one tracker for each thread")
        try:
            yield
        finally:
            self._busy.release()

    def run(self, source: Source | object) -> Iterator[FrameResult]:
        """The result of every frame of a source, or of every picture.

        Starts with reset: faces and identities of an earlier run are forgotten.

        Args:
            source: a video's file, a stream's URL, a camera's number; the name of a picture or of a folder of pictures,
                or a list of such names; a picture as of detect; or several pictures in a list, an array (N, H, W, 3) or
                a generator, which are followed as the frames of a video at 30 frames a second. Sources of
                tracker.sources say more exactly what is meant.

        Raises:
            TrackerError: for a source that cannot be opened, and for what is none.
        """
        self.reset()
        with source if isinstance(source, Source) else open_source(source) as frames:
            for frame in frames:
                yield self.step(frame)

    def step(self, frame: Frame) -> FrameResult:
        """The faces of the next frame. A frame that comes long after the last one is searched afresh.

        A still picture (Frame.still) is looked at for itself, as by detect. Raises TrackerError for what is no Frame.
        """
        return step_together([self], [frame])[0]

    def detect(self, image_rgb: object) -> FrameResult:
        """The faces of one picture, up to max_faces of them, first those that `follow` says, with ids from 1 on.

        Each face is measured a second time in the view of its first landmarks, as tracker.evaluate does with labelled
        pictures. What the tracker follows is neither looked at nor changed: pictures may come between the frames of a
        video.

        Args:
            image_rgb: (H, W, 3) RGB, grey or RGBA of uint8, or a PIL image, see tracker.sources.as_picture; or the name
                of a picture's file, which is turned by its EXIF data.

        Returns:
            The result, in pixels of the picture; its plot() draws the faces.

        Raises:
            TrackerError: for what is no such picture, and for a file that cannot be decoded.
        """
        frame = still_of(image_rgb)
        result = self.step(frame)
        return result if frame.path is not None else replace(result, image_rgb=frame.image_rgb)

    def steps(self, frame: Frame, stages: Stages) -> Steps:
        """The work on the next frame without the measuring, which step_together does for several at once."""
        if frame.still:
            return (yield from self._as_new()._next(frame, stages))
        return (yield from self._next(frame, stages))

    def _as_new(self) -> Tracker:
        """A tracker with the same options and models that has seen nothing yet."""
        new = copy.copy(self)
        engine, search = self._open_models()
        new._models, new._busy = (engine, Search(search.detectors)), threading.Lock()
        new.reset()
        return new

    def _next(self, frame: Frame, stages: Stages) -> Steps:
        now_s = self._clock(frame)
        self._identities.next_frame(now_s, self._clock.interval_s)
        first, self._refused = frame.image_rgb.shape != self._shape, 0
        if first:
            self._identities.forget("the picture's size changed")
        self._shape = frame.image_rgb.shape
        yield from self._follow(frame, now_s)
        faces = self._identities.faces
        measured = sum(face.measured for face in faces)
        self._checking = self._checking and any(face.measured and not face.sure for face in faces)
        if self._checking or self._schedule.due(measured, len(faces) - measured, now_s):
            self._schedule.detected(now_s)
            yield from self._search(frame, stages, first)
        with stages("smooth"):
            results = self._results()
        lost = tuple(self._identities.lost)
        return FrameResult(
            frame.index, frame.timestamp_s, results, stages.seconds, lost, self._refused, frame.name, frame.path
        )

    def _follow(self, frame: Frame, now_s: float) -> Generator[Sequence[Roi], list[Measured], None]:
        """Measure the known faces where they are expected."""
        if self._cut(frame.image_rgb):
            self._identities.doubt()
        faces = self._identities.faces
        if not faces:
            return
        measured = yield [self._view(face, now_s) for face in faces]
        seen = [(f, m) for f, m in zip(faces, measured) if m.score >= self._presence.of_followed(f.sure)]
        self._identities.followed([(f if f.sure else self._surer(f, m), m) for f, m in seen])

    def _surer(self, face: Identity, seen: Measured) -> Identity:
        return replace(face, sure=seen.score >= self._presence.sure)

    def _view(self, face: Identity, timestamp_s: float) -> Roi:
        """Where a face should be by now. Of its steadied landmarks: a view that shakes makes the next ones shake."""
        points_px = self._steady[face.id].points_px + face.ahead_px(timestamp_s)
        return roi_of_landmarks(points_px, eye_rotation_rad(points_px, self.scheme))

    def _search(self, frame: Frame, stages: Stages, all_turns: bool) -> Generator[Sequence[Roi], list[Measured], None]:
        """Take the turn that is due of the search; all_turns: go on until there is a sure face, as in a first frame.

        Faces that are not sure are taken last, those with the best scores first. Another turn may show them better, so
        after one was taken the other turns follow in the next frames.
        """
        search, faces = self._open_models()[1], self._identities
        if not self._checking and (not faces.room() or faces.lost or any(not face.measured for face in faces.faces)):
            search.begin()  # to confirm those that are known, or to find them again
        later, self._later = self._later, None
        if later and not (faces.faces or all_turns):
            doubtful = yield from self._measure_later(*later)
        else:
            doubtful = []
            for _ in search.turns if all_turns else search.turns[: self._turns_a_frame()]:
                turn = search.next_turn()
                with stages("detect"):
                    detections = rated(self._detections(frame, turn), self._worth, frame.image_rgb.shape)
                work = self._take(detections, search.detectors[turn.detector].calibration)
                if self._may_wait(turn, all_turns):
                    rois = next(work, None)
                    self._later = (work, rois) if rois else None
                    break
                doubtful += yield from work
                if any(face.measured for face in faces.faces):
                    break
        taken = self._found(sorted(doubtful, key=lambda seen: -seen.score), sure=False)
        self._checking = not search.complete and (self._checking or taken)

    def _turns_a_frame(self) -> int:
        """How many turns of the search a frame without a face takes: one, of sources below 20 frames a second more."""
        return max(round(self._clock.interval_s / USUAL_S), 1)

    def _may_wait(self, turn: Turn, all_turns: bool) -> bool:
        """Whether what this turn detects is measured in the next frames, so that no frame without a face takes long.

        Not so where faces are known, whom it may show, in the first turn, which shows most faces, and where the next
        frame is far.
        """
        first = self._open_models()[1].turns[0]
        return not (all_turns or self._identities.faces or turn == first) and self._clock.interval_s <= WAIT_S

    def _measure_later(self, work: Taking, rois: Sequence[Roi]) -> Taking:
        """Take what was detected before one measurement further, or as many as score like a face.

        Returns likely faces once it is done, as _take.
        """
        try:
            while True:
                seen = yield rois
                rois = work.send(seen)
                if max(face.score for face in seen) < self.min_score:
                    break
        except StopIteration as done:
            likely: list[Measured] = done.value
            return likely
        self._later = work, rois
        return []

    def _take(self, detections: Sequence[tuple[float, Detection]], calibration: BoxCalibration) -> Taking:
        """Measure detections that are not followed: those that may be a coasting face, then others while there is room.

        Returns those that are likely faces, but not sure ones.
        """
        faces = self._identities
        if not self._checking:  # which takes turns that may not show those that are known
            faces.confirm([face.box_px for _, face in detections])
        new = [(worth, face) for worth, face in detections if not faces.known(face.box_px, only_sure=self._checking)]
        back = [
            face for _, face in new if faces.awaited(face.box_px) or (self._checking and faces.unsure_at(face.box_px))
        ]
        others = [(worth, face) for worth, face in new if not any(face is each for each in back)]
        doubtful: list[Measured] = []
        while True:
            room = self._identities.room()
            tried, back, others = [*back, *(face for _, face in others[:room])], [], others[room:]
            if not tried:
                break
            seen, doubted = yield from self._measure_new(tried, calibration)
            self._found(seen)
            doubtful += doubted
        better = self._better(others, detections)
        if better and (seen := (yield from self._measure_new(better[1], calibration))[0]):
            self._identities.give_way(better[0])
            self._found(seen)
        return doubtful

    def _better(
        self, others: Sequence[tuple[float, Detection]], detections: Sequence[tuple[float, Detection]]
    ) -> tuple[Identity, list[Detection]] | None:
        """The face that is worth least of those followed, and those others that are worth far more; None for none."""
        followed = [(worth, face) for worth, box in detections if (face := self._identities.shown_by(box.box_px))]
        least, face = min(followed, key=lambda pair: pair[0], default=(math.inf, None))
        better = [other for worth, other in others if worth >= FAR_MORE * least]
        return (face, better) if face and better else None

    def _measure_new(
        self, detections: Sequence[Detection], calibration: BoxCalibration
    ) -> Generator[Sequence[Roi], list[Measured], tuple[list[Measured], list[Measured]]]:
        """Those of the detections that are faces: the sure ones, and the others.

        They are measured twice, the second time in the view of the first.

        A detector often takes the mouth of an upside-down face for its eyes, so each is measured both ways up at first.
        """
        upright = [roi_of_detection(found, calibration) for found in detections]
        ways = yield [*upright, *(replace(roi, rotation_rad=roi.rotation_rad + math.pi) for roi in upright)]
        rough = [max(pair, key=lambda face: face.score) for pair in zip(ways, ways[len(upright) :])]
        measured = yield [next_roi(face.landmarks) for face in rough]
        seen = [m for m, found in zip(measured, detections) if m.score >= self._presence.of_new(found.score)]
        self._refused += len(measured) - len(seen)
        sure = [m for m in seen if m.score >= self._presence.sure]
        return sure, [m for m in seen if m.score < self._presence.sure]

    def _found(self, seen: Sequence[Measured], sure: bool = True) -> bool:
        """Take faces that were found; whether there are any that were not known."""
        numbers = self._identities.found(seen, sure)
        for number in numbers:
            self._smoothers.pop(number, None)  # where it was seen last says nothing of where it is
        return bool(numbers)

    def _detections(self, frame: Frame, turn: Turn) -> list[Detection]:
        """What the detector finds; a box that holds nothing, or is none, is left out."""
        search = self._open_models()[1]
        name = search.detectors[turn.detector].name
        try:
            found = search.detect(frame.image_rgb, turn)
        except TrackerError:
            raise
        except Exception as error:  # OpenCV's and MediaPipe's have no common type
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160].rstrip(": ")
            raise TrackerError(
                f"the detector {name} failed on frame {frame.index} ({reason}); try another detector (--detector)"
            ) from error
        found = [each for each in found if is_box(each.box_px)]
        return found if frame.gpu is None else [_on_gpu(frame.gpu, frame.image_rgb, each) for each in found]

    def _results(self) -> tuple[TrackedFace, ...]:
        """Every face that is followed, steadied; one that was not measured now is held where it was."""
        faces = self._identities.faces
        self._smoothers = {face.id: self._smoothers.get(face.id) or smoother(self.smoothing) for face in faces}
        self._steady = {face.id: self._steadied(face) if face.measured else self._steady[face.id] for face in faces}
        return tuple(
            TrackedFace(f.id, "tracking" if f.measured else "coasting", f.score, self._steady[f.id], f.landmarks)
            for f in faces
        )

    def _steadied(self, face: Identity) -> Landmarks:
        raw = face.landmarks
        points_px = self._smoothers[face.id](raw.points_px, face.seen_s, face.size_px, raw.covariances_px2)
        return raw if points_px is raw.points_px else raw.at(points_px)


def _open_detectors(detector: DetectorName | Detector, model_path: Path | None) -> list[CalibratedDetector]:
    """Return the detectors that take turns: the one that was given or named, of auto both packaged ones."""
    if not isinstance(detector, str):
        if model_path is not None:
            raise TrackerError(f"detector_model {model_path} is for a detector given by its name; leave it out")
        return [CheckedDetector(detector)]
    found = [load_detector(detector, model_path)]
    if detector == "auto" and model_path is None:
        found.append(load_detector("blazeface"))
    return found


def _expect_whole(what: str, value: object, least: int, most: int) -> None:
    if not (isinstance(value, (int, np.integer)) and least <= value <= most):
        raise TrackerError(f"{what} must be a whole number in {least}..{most}, got {value}")


def step_together(trackers: Sequence[Tracker], frames: Sequence[Frame]) -> list[FrameResult]:
    """A step of several trackers that share one engine, each with its own next frame; their crops are one batch.

    trackers: made with the engine of the first: Tracker(first.engine). A tracker's result is what its step alone would
    have given; stage_s counts what was done together for every one of them. Raises ValueError for trackers of
    different engines, and as many frames as trackers are needed, and TrackerError for one that is used in another
    thread at the same time.
    """
    if not trackers:
        raise ValueError("expected at least one tracker, got none")
    if len({id(each) for each in trackers}) < len(trackers):
        raise ValueError("trackers that step together must be different ones, each with its own frame")
    with ExitStack() as stack:
        for each in trackers:
            stack.enter_context(each.working())
        return _step_together(trackers, frames)


def _step_together(trackers: Sequence[Tracker], frames: Sequence[Frame]) -> list[FrameResult]:
    for frame in frames:
        if not isinstance(frame, Frame):
            raise TrackerError(
                f"step expected a Frame(image_rgb, timestamp_s, index), got {type(frame).__name__}; "
                "detect takes a picture, run takes several"
            )
    given, frames = frames, [frame.squared() for frame in frames]
    measurer = Measurer(trackers[0].engine)
    if any(each.engine is not measurer.engine for each in trackers):
        raise ValueError("trackers that step together need one engine: Tracker(first.engine)")
    stages = [Stages() for _ in frames]
    works = {i: each.steps(frame, stages[i]) for i, (each, frame) in enumerate(zip(trackers, frames, strict=True))}
    results: dict[int, FrameResult] = {}
    started_s = time.perf_counter()
    answers: dict[int, list[Measured] | None] = dict.fromkeys(works)
    while answers:
        asked: dict[int, Sequence[Roi]] = {}
        for i, answer in answers.items():
            try:
                asked[i] = works[i].send(answer)  # type: ignore[arg-type]  # the first time None
            except StopIteration as done:
                results[i] = done.value
        answers = _measured(measurer, frames, asked, stages)
    for each in stages:
        each.seconds["step"] = time.perf_counter() - started_s
    return [_in_pixels_of(frame, results[i]) for i, frame in enumerate(given)]


def _in_pixels_of(frame: Frame, result: FrameResult) -> FrameResult:
    """The result of the frame with square pixels, in its own."""
    x, y = frame.square_scale
    return result if frame.pixel_aspect == 1 else result.scaled(1 / x, 1 / y)


def _measured(
    measurer: Measurer, frames: Sequence[Frame], asked: Mapping[int, Sequence[Roi]], stages: Sequence[Stages]
) -> dict[int, list[Measured] | None]:
    """What was measured in the views asked for, by frame: those on the host together, each on the GPU by itself."""
    answers: dict[int, list[Measured] | None] = {}
    for i, rois in asked.items():
        if (gpu := frames[i].gpu) is not None:
            answers[i] = measurer.measure(gpu, rois, stages[i])
    together = {i: rois for i, rois in asked.items() if i not in answers}
    images = [frames[i].image_rgb for i, rois in together.items() for _ in rois]
    shared = Stages()
    measured = iter(measurer.measure_in(images, [roi for rois in together.values() for roi in rois], shared))
    for i, rois in together.items():
        stages[i].add(shared)
        answers[i] = [next(measured) for _ in rois]
    return answers


def _on_gpu(gpu: GpuFrame, image_rgb: NDArray[np.uint8], detection: Detection) -> Detection:
    """A detection in the copy on the host, in pixels of the frame on the GPU."""
    scale = np.array([gpu.width / image_rgb.shape[1], gpu.height / image_rgb.shape[0]])
    corner = (detection.box_px[:2] + 0.5) * scale - 0.5
    eyes = (detection.eyes_px + 0.5) * scale - 0.5
    return replace(detection, box_px=np.concatenate([corner, detection.box_px[2:] * scale]), eyes_px=eyes)
