"""The tracker: frames in, faces out. The only file that wires the stages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from tracker.detectors import Detector, DetectorName, load_detector
from tracker.engines import Engine
from tracker.engines.load import load_engine
from tracker.engines.onnx import Provider
from tracker.errors import TrackerError
from tracker.face.geometry import extent
from tracker.face.landmarks import Landmarks
from tracker.frames import Frame, Source, open_source
from tracker.identity import Identities, Identity
from tracker.measure import Measurer, Stages
from tracker.models import landmark_model
from tracker.result import FrameResult, TrackedFace
from tracker.roi import BOX_HABITS, DetectionSchedule, next_roi, roi_of_detection
from tracker.smoothing import OneEuro


class Tracker:
    """Follows faces through frames.

    model: a landmark model, .onnx or a TensorRT .plan; the packaged one if None. detector: finds faces;
    detector_model: its file. max_faces: how many to follow at most. smooth: whether a One Euro filter steadies each
    face. provider, allow_cpu: what ONNX Runtime runs an .onnx model on, and whether the CPU will do instead.

    Not shared between threads: make one for each. Raises TrackerError for models that cannot be had or read, and for
    max_faces below 1.
    """

    def __init__(
        self,
        model: Path | str | None = None,
        detector: DetectorName = "auto",
        detector_model: Path | str | None = None,
        max_faces: int = 1,
        smooth: bool = True,
        provider: Provider = "cpu",
        allow_cpu: bool = False,
    ) -> None:
        if max_faces < 1:
            raise TrackerError(f"max_faces must be at least 1, got {max_faces}")
        self.engine: Engine = load_engine(landmark_model(Path(model) if model else None), provider, allow_cpu)
        self.detector: Detector = load_detector(detector, Path(detector_model) if detector_model else None)
        self._measurer = Measurer(self.engine)
        self.scheme = self._measurer.scheme
        self.max_faces = max_faces
        self.smooth = smooth
        self.reset()

    def reset(self) -> None:
        """Forget every face, as before a new video. Identities start again at 1."""
        self._identities = Identities(self.max_faces)
        self._schedule = DetectionSchedule(self.max_faces)
        self._filters: dict[int, OneEuro] = {}

    def run(self, source: Source | Path | str | int) -> Iterator[FrameResult]:
        """The result of every frame of a video file, stream URL, folder of pictures or camera number.

        Starts with reset: faces and identities of an earlier run are forgotten.
        Raises TrackerError for a source that cannot be opened.
        """
        self.reset()
        with source if isinstance(source, Source) else open_source(source) as frames:
            for frame in frames:
                yield self.step(frame)

    def step(self, frame: Frame) -> FrameResult:
        """The faces of the next frame. A frame that comes long after the last one is searched afresh."""
        stages = Stages()
        with stages("step"):
            self._identities.next_frame(frame.timestamp_s)
            self._follow(frame, stages)
            if self._schedule.due(self._measured(), frame.timestamp_s):
                self._detect(frame, stages)
            self._identities.prune(frame.timestamp_s)
            with stages("smooth"):
                faces = self._results()
        return FrameResult(frame.index, frame.timestamp_s, faces, stages.seconds)

    def _measured(self) -> int:
        return sum(face.measured for face in self._identities.faces)

    def _follow(self, frame: Frame, stages: Stages) -> None:
        """Measure the known faces where they were last."""
        faces = self._identities.faces
        rois = [next_roi(face.landmarks) for face in faces]
        measured = self._measurer.measure(frame.image_rgb, rois, stages)
        for face, (landmarks, score) in zip(list(faces), measured):
            if score >= self.engine.spec.presence:
                self._identities.seen(face, landmarks, score, frame.timestamp_s)

    def _detect(self, frame: Frame, stages: Stages) -> None:
        """Find faces that are not followed; measured twice, the second time in the view of the first."""
        with stages("detect"):
            detections = self.detector.detect(frame.image_rgb)
        self._schedule.detected(frame.timestamp_s)
        new = [d for d in detections if not self._identities.known(d.box_px)]
        new = new[: self.max_faces - self._measured()]
        rois = [roi_of_detection(d.box_px, d.eyes_px, BOX_HABITS[self.detector.name]) for d in new]
        for landmarks, score in self._measurer.measure_twice(frame.image_rgb, rois, stages):
            known = self._identities.known(extent(landmarks.points_px))
            if score >= self.engine.spec.presence and not known:
                self._identities.found(landmarks, score, frame.timestamp_s)

    def _results(self) -> tuple[TrackedFace, ...]:
        """Every face that is followed, steadied; one that was not measured now is held where it was."""
        faces = self._identities.faces
        self._filters = {face.id: self._filters.get(face.id) or OneEuro() for face in faces}
        return tuple(self._result(face) for face in faces)

    def _result(self, face: Identity) -> TrackedFace:
        raw = steady = face.landmarks
        if self.smooth:
            _, _, width, height = face.box_px.tolist()
            points_px = self._filters[face.id](raw.points_px, face.seen_s, math.sqrt(width * height))
            steady = Landmarks(points_px, raw.scores, raw.covariances_px2, raw.scheme)
        return TrackedFace(face.id, "tracking" if face.measured else "coasting", face.score, steady, raw)
