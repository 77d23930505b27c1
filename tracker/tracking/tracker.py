"""The tracker: frames in, faces out. The only file that wires the stages."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from tracker.detectors.base import BoxCalibration, CalibratedDetector, Detection, Detector, roi_of_detection
from tracker.detectors.checked import CheckedDetector, is_box
from tracker.detectors.loading import DetectorName, load_detector
from tracker.detectors.search import Search, Turn
from tracker.engines.base import Engine
from tracker.engines.loading import find_model, load_engine
from tracker.engines.onnx import Provider
from tracker.errors import TrackerError, expect_choice
from tracker.face.crop import Roi, eye_rotation_rad, roi_of_landmarks
from tracker.gpu_frame import GpuFrame
from tracker.result import FrameResult
from tracker.sources import Frame, Source, open_source, still_of
from tracker.tracking.association import TrackManager
from tracker.tracking.clock import Clock
from tracker.tracking.config import TrackerConfig
from tracker.tracking.estimator import Estimate, LandmarkEstimator, next_roi
from tracker.tracking.ranking import Follow, Ranked, rank_detections, ranking_of
from tracker.tracking.scene_cut import SceneCutDetector
from tracker.tracking.schedule import DetectionSchedule
from tracker.tracking.score_thresholds import ScoreThresholds
from tracker.tracking.smoothing import Smoothing
from tracker.tracking.stage_timer import StageTimer
from tracker.tracking.track import Track

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_FACES, MAX_COAST_FRAMES = 1000, 1_000_000


class Tracker:
    """Tracks faces through frames.

    A context manager: leaving it, or close(), releases the models. Not shared between threads: make one for each.
    Several sources with one engine: BatchTracker.

    Args:
        model: a landmark model, .onnx or a TensorRT .plan, or the name of a packaged one
            (tracker.weights.packaged.PACKAGED), the first of them if None; "auto" for the first or the same in INT8,
            whichever is faster on this CPU; or the URL of one that Triton Inference Server runs, such as
            triton://localhost:8001/edge68; or an engine that is loaded already, such as another tracker's.
        detector: finds faces. "auto" alternates YuNet and BlazeFace. Or a detector of your own: an object with
            detect(image_rgb), see tracker.detectors.base.Detector.
        detector_model: the file of a detector given by its name.
        max_faces: the largest number of faces to track. The engine uses as many threads if there are enough cores.
        smoothing: the filter of the landmarks, see tracker.tracking.smoothing.PRESETS; "none" for no filter.
        provider: what ONNX Runtime runs an .onnx model on.
        allow_cpu: whether to run on the CPU, with a warning, if the provider is not available.
        follow: which faces to track first: the largest, the most central, or those with the highest score of the
            detector. A tracked face keeps its place, also while it coasts, unless another one ranks
            TrackerConfig.replace_ratio times higher: four times the area, or at most half the distance from the
            middle.
        hold_s: how long a face that is not seen keeps its track, in seconds.
        coast_frames: the same in frames, for slow sources; the longer of both counts.
        min_score: the lowest score of the landmark model, 0..1, at which a face stays tracked. New faces need a
            lower score if the detector is sure of them (0.862 if min_score is 0.894), a higher one if not. None
            for the model's own threshold, which was fitted on validation data. A lower value finds more turned
            and covered faces, and more false ones.
        config: the thresholds of tracking.

    Attributes:
        scheme: of the landmarks. The options are attributes as well; smoothing may be set between two frames.

    Raises:
        TrackerError: for models that are not available or cannot be read, and for invalid options.
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
        config: TrackerConfig | None = None,
    ) -> None:
        _expect_whole("max_faces", max_faces, 1, MAX_FACES)
        _expect_whole("coast_frames", coast_frames, 0, MAX_COAST_FRAMES)
        expect_choice("smoothing", smoothing, get_args(Smoothing))
        expect_choice("provider", provider, get_args(Provider))
        if not (_is_number(hold_s) and 0 <= hold_s < math.inf):
            raise TrackerError(f"hold_s must be a number of seconds of at least 0, got {hold_s!r}")
        if min_score is not None and not (_is_number(min_score) and 0 <= min_score <= 1):
            raise TrackerError(f"min_score must be in 0..1, got {min_score!r}")
        if not (detector_model is None or isinstance(detector_model, (Path, str))):
            raise TrackerError(f"detector_model: expected the path of a file, got {detector_model!r}")
        self._ranking = ranking_of(follow)
        if model is None or isinstance(model, (Path, str)):
            model = load_engine(find_model(model, provider), provider, allow_cpu, max_faces)
        elif not hasattr(model, "spec"):
            raise TrackerError(
                f"model: expected the path of a file, the name of a packaged model or an engine, got {model!r}"
            )
        self.scheme = model.spec.landmark_scheme()
        detectors = _open_detectors(detector, None if detector_model is None else Path(detector_model))
        self._models: tuple[LandmarkEstimator, Search] | None = LandmarkEstimator(model), Search(detectors)
        self.config = config or TrackerConfig()
        self._thresholds = ScoreThresholds(model.spec.presence if min_score is None else min_score, self.config)
        self.max_faces = max_faces
        self.hold_s, self.coast_frames = hold_s, coast_frames
        self.smoothing: Smoothing = smoothing
        self._busy = threading.Lock()
        self.reset()

    @property
    def engine(self) -> Engine:
        """The engine of the landmark model. Raises TrackerError after close."""
        return self.estimator.engine

    @property
    def estimator(self) -> LandmarkEstimator:
        """Estimates the landmarks. Raises TrackerError after close."""
        return self._open_models()[0]

    @property
    def detector(self) -> CalibratedDetector:
        """The detector, the first of several; your own with the name and the calibration that it is used with.

        Raises TrackerError after close.
        """
        return self.detectors[0]

    @property
    def detectors(self) -> tuple[CalibratedDetector, ...]:
        """The detectors, in the order in which they alternate. Raises TrackerError after close."""
        return tuple(self._open_models()[1].detectors)

    @property
    def min_score(self) -> float:
        """The score of the landmark model that a tracked face needs."""
        return self._thresholds.min_score

    def close(self) -> None:
        """Release the engine and the detectors, with their memory, unless another tracker shares them."""
        self.reset()
        self._models = None

    def __enter__(self) -> Self:
        """Return the tracker."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the tracker."""
        self.close()

    def reset(self) -> None:
        """Forget all faces, as before a new video. Ids start again at 1."""
        with self.exclusive():
            self._clock = Clock(self.hold_s)
            self._faces = TrackManager(self.max_faces, self.hold_s, self.coast_frames, self.config)
            self._schedule = DetectionSchedule(self.config)
            self._scene = SceneCutDetector(self.config)
            self._now_s = 0.0
            self._shape: tuple[int, ...] = ()
            self._first = True
            self._refused = 0
            self._deferred: _Deferred | None = None
            self._checking = False  # whether further turns of the search may show a doubtful face better
            if self._models is not None:
                self._models[1].begin()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Around everything that changes the tracker.

        Raises:
            TrackerError: while it is used in another thread.
        """
        if not self._busy.acquire(blocking=False):
            raise TrackerError("this tracker is in use in another thread; make one tracker for each thread")
        try:
            yield
        finally:
            self._busy.release()

    def run(self, source: Source | object) -> Iterator[FrameResult]:
        """Yield the result of each frame of a source, or of each picture, after a reset.

        Args:
            source: a video's file, a stream's URL, a camera's number; the name of a picture or of a folder of pictures,
                or a list of such names; a picture as for detect; or several pictures in a list, an array (N, H, W, 3)
                or a generator, which are tracked as the frames of a video at 30 frames a second. The sources of
                tracker.sources have more options.

        Raises:
            TrackerError: for a source that cannot be opened, and for anything else.
        """
        self.reset()
        with source if isinstance(source, Source) else open_source(source) as frames:
            for frame in frames:
                yield self.step(frame)

    def detect(self, image_rgb: object) -> FrameResult:
        """Return the faces of one picture, at most max_faces, in the order of `follow`, with ids from 1 on.

        Each face is measured a second time in the ROI of its first landmarks, as tracker.evaluate does. The tracked
        faces are neither used nor changed: pictures may come between the frames of a video.

        Args:
            image_rgb: (H, W, 3) RGB, grey or RGBA of uint8, or a PIL image, see tracker.sources.as_picture; or the name
                of a picture's file, which is rotated by its EXIF data.

        Returns:
            The result, in pixels of the picture; its plot() draws the faces.

        Raises:
            TrackerError: it is not such a picture, or the file cannot be decoded.
        """
        frame = still_of(image_rgb)
        result = self.step(frame)
        return result if frame.path is not None else replace(result, image_rgb=frame.image_rgb)

    def step(self, frame: Frame) -> FrameResult:
        """Return the faces of the next frame.

        A frame that comes long after the last one is searched afresh. A still picture (Frame.still) is treated as by
        detect.

        Raises:
            TrackerError: frame is not a Frame, its timestamp is not a finite number, or the detector or
                the engine fails.
        """
        started_s, timer = time.perf_counter(), StageTimer()
        with self.exclusive():
            squared = square_pixels(frame)
            tracker = self.for_frame(squared)
            estimates = tracker.estimator.estimate(picture_of(squared), tracker.begin_step(squared), timer)
            result = tracker.finish_step(squared, estimates, timer)
        timer.seconds["step"] = time.perf_counter() - started_s
        return in_pixels_of(frame, result)

    def for_frame(self, frame: Frame) -> Tracker:
        """Return this tracker, for a still picture a new one with the same options and models."""
        if not frame.still:
            return self
        new = copy.copy(self)
        estimator, search = self._open_models()
        new._models, new._busy = (estimator, Search(search.detectors)), threading.Lock()
        new.reset()
        return new

    def begin_step(self, frame: Frame) -> list[Roi]:
        """Go on to a frame, and return the ROIs of the tracked faces, where they are predicted.

        The first half of step; finish_step takes what was estimated there. BatchTracker estimates for several
        trackers in between.
        """
        self._now_s = self._clock(frame)
        self._faces.begin_frame(self._now_s, self._clock.interval_s)
        self._first, self._refused = frame.image_rgb.shape != self._shape, 0
        if self._first:
            self._faces.end_all("the picture's size changed")
        self._shape = frame.image_rgb.shape
        if self._scene.is_cut(frame.image_rgb):
            self._faces.mark_cut()
        return [self._predict_roi(track) for track in self._faces.tracks]

    def finish_step(self, frame: Frame, estimates: Sequence[Estimate], timer: StageTimer) -> FrameResult:
        """Update the tracked faces with the estimates in their ROIs, detect others if it is time, and return all."""
        pairs = zip(self._faces.tracks, estimates, strict=True)
        seen = [(track, each) for track, each in pairs if each.score >= self._thresholds.of_tracked(track.confident)]
        self._faces.update(seen, self._thresholds.confident)
        measured = sum(track.measured for track in self._faces.tracks)
        self._checking = self._checking and any(t.measured and not t.confident for t in self._faces.tracks)
        if self._checking or self._schedule.is_due(measured, len(self._faces.tracks) - measured, self._now_s):
            self._schedule.note_detection(self._now_s)
            self._search(frame, timer)
        with timer("smooth"):
            for track in self._faces.tracks:
                track.smooth(self.smoothing)
        faces = tuple(track.to_face() for track in self._faces.tracks)
        lost = tuple(self._faces.lost)
        return FrameResult(
            frame.index, frame.timestamp_s, faces, timer.seconds, lost, self._refused, frame.name, frame.path
        )

    def _open_models(self) -> tuple[LandmarkEstimator, Search]:
        if self._models is None:
            raise TrackerError("this tracker was closed; make another one")
        return self._models

    def _predict_roi(self, track: Track) -> Roi:
        """Return where a face should be, by its smoothed landmarks: jitter in the ROI feeds back into later frames."""
        points_px = track.smoothed.points_px + track.predict_shift_px(self._now_s)
        return roi_of_landmarks(points_px, eye_rotation_rad(points_px, self.scheme))

    def _search(self, frame: Frame, timer: StageTimer) -> None:
        """Look for faces: one turn of the search, or as many as it takes in a first frame.

        Faces that are not clearly visible are added last, those with the highest scores first. Another turn may show
        them better, so after one was added the other turns follow in the next frames.
        """
        search, faces = self._open_models()[1], self._faces
        coasting = any(not track.measured for track in faces.tracks)
        if not self._checking and (not faces.free_places() or faces.lost or coasting):
            search.begin()  # with the upright picture, to confirm the known faces or to find them again
        if faces.tracks or self._first:
            self._deferred = None
        if self._deferred and not search.first_is_due:
            deferred, self._deferred = self._deferred, None
            search.skip()
            doubtful = self._go_on_with(deferred, frame, timer)
        else:
            doubtful = self._take_turns(frame, timer)
        added = faces.add(sorted(doubtful, key=lambda each: -each.score), confident=False)
        if added and not (self._first or self._checking):
            search.begin()
            self._checking = True
        else:
            self._checking = self._checking and not search.complete

    def _take_turns(self, frame: Frame, timer: StageTimer) -> list[Estimate]:
        """Take the turn that is due, in a first frame one after another until a face is clearly visible.

        Frames of slow sources take several turns.
        """
        search, doubtful = self._open_models()[1], list[Estimate]()
        count = max(round(self._clock.interval_s / self.config.turn_interval_s), 1)
        for _ in search.turns if self._first else search.turns[:count]:
            turn = search.next_turn(in_order=self._first or self._checking)
            with timer("detect"):
                ranked = rank_detections(self._detect(frame, turn), self._ranking, frame.image_rgb.shape)
            calibration = search.detectors[turn.detector].calibration
            if ranked and self._may_defer(turn):
                room, found = self._faces.free_places(), [each.detection for each in ranked]
                rounds = [found[i : i + room] for i in range(0, len(found), room)]
                self._deferred = _Deferred(rounds, calibration)
                break
            doubtful += self._measure_new(frame, ranked, calibration, timer)
            if any(track.measured for track in self._faces.tracks):
                break
        return doubtful

    def _detect(self, frame: Frame, turn: Turn) -> list[Detection]:
        """Return what the detector finds in pixels of the frame; boxes that can be no face are left out."""
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

    def _measure_new(
        self, frame: Frame, ranked: Sequence[Ranked], calibration: BoxCalibration, timer: StageTimer
    ) -> list[Estimate]:
        """Measure detected faces that are not tracked: those that may be coasting, then others while there is room.

        Those that are clearly visible are added.

        Returns:
            The others that may be faces.
        """
        faces = self._faces
        if not self._checking:  # whose turns may not show the known faces
            faces.confirm([each.detection.box_px for each in ranked])
        new = [each for each in ranked if not faces.is_measured(each.detection.box_px, only_confident=self._checking)]
        known = [each for each in new if self._may_be_known(each.detection)]
        others = [each for each in new if not self._may_be_known(each.detection)]
        doubtful: list[Estimate] = []
        while True:
            room = faces.free_places()
            tried, known, others = [each.detection for each in [*known, *others[:room]]], [], others[room:]
            if not tried:
                break
            clear, unclear = self._look_twice(frame, tried, calibration, timer)
            faces.add(clear)
            doubtful += unclear
        if surpassed := self._find_surpassed(others, ranked):
            track, better = surpassed
            clear, _ = self._look_twice(frame, better, calibration, timer)
            if clear:
                faces.replace(track)
                faces.add(clear)
        return doubtful

    def _may_be_known(self, found: Detection) -> bool:
        """Whether it may be a coasting face, or a doubtful one whose other turns are taken."""
        doubtful = self._checking and self._faces.find_doubtful(found.box_px) is not None
        return doubtful or self._faces.may_be_coasting(found.box_px)

    def _find_surpassed(
        self, others: Sequence[Ranked], ranked: Sequence[Ranked]
    ) -> tuple[Track, list[Detection]] | None:
        """Return the tracked face that ranks lowest, and the new ones that rank so much higher as to replace it."""
        tracked = [(each.rank, track) for each in ranked if (track := self._faces.find_measured(each.detection.box_px))]
        least, track = min(tracked, key=lambda pair: pair[0], default=(math.inf, None))
        better = [each.detection for each in others if each.rank >= self.config.replace_ratio * least]
        return (track, better) if track and better else None

    def _look_twice(
        self, frame: Frame, detections: Sequence[Detection], calibration: BoxCalibration, timer: StageTimer
    ) -> tuple[list[Estimate], list[Estimate]]:
        """Return the detected faces that are clearly visible, and the others that may be faces."""
        return self._look_again(frame, detections, self._look_first(frame, detections, calibration, timer), timer)

    def _look_first(
        self, frame: Frame, detections: Sequence[Detection], calibration: BoxCalibration, timer: StageTimer
    ) -> list[Estimate]:
        """Measure detections roughly.

        A detector often takes the mouth of an upside-down face for its eyes, so each is measured both ways up; the way
        with the higher score is returned.
        """
        upright = [roi_of_detection(found, calibration) for found in detections]
        rois = [*upright, *(replace(roi, rotation_rad=roi.rotation_rad + math.pi) for roi in upright)]
        both = self.estimator.estimate(picture_of(frame), rois, timer)
        return [max(pair, key=lambda each: each.score) for pair in zip(both, both[len(upright) :])]

    def _look_again(
        self, frame: Frame, detections: Sequence[Detection], rough: Sequence[Estimate], timer: StageTimer
    ) -> tuple[list[Estimate], list[Estimate]]:
        """Measure detections again, in the ROIs of their rough landmarks, and return the faces among them.

        First those that are clearly visible, then the others that may be faces.
        """
        estimates = self.estimator.estimate(picture_of(frame), [next_roi(each.landmarks) for each in rough], timer)
        pairs = zip(estimates, detections, strict=True)
        faces = [each for each, found in pairs if each.score >= self._thresholds.of_new(found.score)]
        self._refused += len(estimates) - len(faces)
        clear = [each for each in faces if each.score >= self._thresholds.confident]
        return clear, [each for each in faces if each.score < self._thresholds.confident]

    def _may_defer(self, turn: Turn) -> bool:
        """Whether the detections of a turn are measured in the next frames, so that no frame without a face takes long.

        Not while there are faces, in the first turn, which finds most faces, and where the next frame is far.
        """
        first = self._open_models()[1].turns[0]
        near = self._clock.interval_s <= self.config.defer_interval_s
        return near and not (self._first or self._faces.tracks or turn == first)

    def _go_on_with(self, deferred: _Deferred, frame: Frame, timer: StageTimer) -> list[Estimate]:
        """Measure deferred detections once, a second time only if they score like a face.

        Returns:
            The possible faces of all rounds at the end of the last one, otherwise none.
        """
        detections = deferred.rounds[0]
        if deferred.rough is None:
            deferred.rough = self._look_first(frame, detections, deferred.calibration, timer)
            if max(each.score for each in deferred.rough) < self.min_score:
                self._deferred = deferred
                return []
        clear, unclear = self._look_again(frame, detections, deferred.rough, timer)
        self._faces.add(clear)
        deferred.doubtful += unclear
        deferred.rounds, deferred.rough = deferred.rounds[1:], None
        if deferred.rounds and self._faces.free_places():
            self._deferred = deferred
            return []
        return deferred.doubtful


@dataclass
class _Deferred:
    """Detections of an earlier frame, to be measured in the next ones.

    Attributes:
        rounds: groups of as many detections as there were free places, those that rank highest first.
        calibration: of the detector that found them.
        rough: the first estimates of the first round; None before them.
        doubtful: possible faces of earlier rounds.
    """

    rounds: list[list[Detection]]
    calibration: BoxCalibration
    rough: list[Estimate] | None = None
    doubtful: list[Estimate] = field(default_factory=list)


def square_pixels(frame: object) -> Frame:
    """Return the frame with square pixels.

    Raises:
        TrackerError: it is not a Frame.
    """
    if not isinstance(frame, Frame):
        raise TrackerError(
            f"step expected a Frame(image_rgb, timestamp_s, index), got {type(frame).__name__}; "
            "use detect for a picture, run for several"
        )
    return frame.squared()


def picture_of(frame: Frame) -> NDArray[np.uint8] | GpuFrame:
    """Return what landmarks are measured in: the picture on the GPU if there is one."""
    return frame.image_rgb if frame.gpu is None else frame.gpu


def in_pixels_of(frame: Frame, result: FrameResult) -> FrameResult:
    """Return the result of the frame with square pixels in pixels of the frame as it was given."""
    x, y = frame.square_scale
    return result if frame.pixel_aspect == 1 else result.scaled(1 / x, 1 / y)


def _open_detectors(detector: DetectorName | Detector, model_path: Path | None) -> list[CalibratedDetector]:
    """Return the detectors to alternate: the one that was given or named; for "auto" both packaged ones."""
    if not isinstance(detector, str):
        if model_path is not None:
            raise TrackerError(f"detector_model {model_path} is for a detector given by its name; leave it out")
        return [CheckedDetector(detector)]
    found = [load_detector(detector, model_path)]
    if detector == "auto" and model_path is None:
        found.append(load_detector("blazeface"))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def _expect_whole(what: str, value: object, least: int, most: int) -> None:
    if not (isinstance(value, (int, np.integer)) and least <= value <= most):
        raise TrackerError(f"{what} must be a whole number in {least}..{most}, got {value}")


def _on_gpu(gpu: GpuFrame, image_rgb: NDArray[np.uint8], detection: Detection) -> Detection:
    """Return a detection in the copy on the host in pixels of the frame on the GPU."""
    scale = np.array([gpu.width / image_rgb.shape[1], gpu.height / image_rgb.shape[0]])
    corner = (detection.box_px[:2] + 0.5) * scale - 0.5
    eyes = (detection.eyes_px + 0.5) * scale - 0.5
    return replace(detection, box_px=np.concatenate([corner, detection.box_px[2:] * scale]), eyes_px=eyes)
