"""Labelled stills: each face in the view of its labels, and as the tracker finds it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tracker.datasets.labelled import Dataset, LabelledFace, Split, expect_lengths, labelled_faces
from tracker.detectors.loading import DetectorName
from tracker.errors import TrackerError
from tracker.evaluation.comparison import Comparison
from tracker.evaluation.report import detector_names, model_record, write_report
from tracker.face.geometry import Array, box_iou, extent
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68, Scheme
from tracker.metrics.accuracy import Errors, FaceError, face_error, plot_ced, summary, table
from tracker.tracking.estimator import LandmarkEstimator
from tracker.tracking.tracker import Tracker
from tracker.weights.packaged import find_model

log = logging.getLogger(__name__)

MIN_IOU = 0.3  # a box that overlaps the labels' extent by less is of something else
MAX_FACES = 100
"""Other faces than the labelled one are in some pictures, and may be larger."""


class Boxed(Protocol):
    """box_px: (4,) x, y, width, height."""

    @property
    def box_px(self) -> Array: ...


AnyBoxed = TypeVar("AnyBoxed", bound=Boxed)


@dataclass(frozen=True)
class FaceResult:
    """One face, in the view of its labels and as the tracker finds it (None: not found, and why in missed)."""

    true_box: FaceError
    detected: FaceError | None
    missed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Both errors, or what became of the face."""
        detected = self.detected.to_json() if self.detected else {"missed": self.missed}
        return {"true_boxes": self.true_box.to_json(), "detector": detected}


@dataclass(frozen=True)
class _Found:
    """A face that the tracker found, in the scheme to compare in."""

    landmarks: Landmarks
    score: float

    @property
    def box_px(self) -> Array:
        return self.landmarks.extent_px


class Evaluation:
    """Measures labelled faces in the views of their labels, and as a tracker finds them in their pictures."""

    def __init__(self, tracker: Tracker, labels: Scheme = IBUG68) -> None:
        """Raises TrackerError for a model whose landmarks cannot be compared with labels of that scheme."""
        self.comparison = Comparison.of(tracker.engine.spec.landmark_scheme(), labels)
        self.estimator = LandmarkEstimator(tracker.engine)
        self.tracker = tracker

    def face(self, image_rgb: NDArray[np.uint8], truth_px: Array) -> FaceResult:
        """One face of an RGB picture (H, W, 3), its labels (K, 2) in the picture's pixels."""
        compare = self.comparison
        landmarks, score = compare.estimate(self.estimator, image_rgb, truth_px)
        truth_px = compare.of_labels(truth_px)
        true_box = face_error(compare.of_model(landmarks), truth_px, score)
        result = self.tracker.detect(image_rgb)
        found = nearest([_Found(compare.of_model(face.raw), face.score) for face in result.faces], extent(truth_px))
        if found is None:
            refused = f"; {result.refused} detections scored too low for a face" if result.refused else ""
            return FaceResult(true_box, None, f"not detected{refused}")
        return FaceResult(true_box, face_error(found.landmarks, truth_px, found.score))

    def faces(self, labelled: Iterable[LabelledFace]) -> tuple[dict[str, FaceResult], list[str]]:
        """The results by name, and what is wrong with each face that cannot be read, which is skipped."""
        results: dict[str, FaceResult] = {}
        skipped: list[str] = []
        for face in labelled:
            try:
                image_rgb, truth_px = face.read()
                self._expect_comparable(face, truth_px)
            except (ValueError, OSError) as error:
                log.warning("skipped %s", error)
                skipped.append(str(error))
            else:
                results[face.name] = self.face(image_rgb, truth_px)
        return results, skipped

    def _expect_comparable(self, face: LabelledFace, truth_px: Array) -> None:
        try:
            expect_lengths(self.comparison.of_labels(truth_px), self.comparison.scheme)
        except ValueError as error:
            raise ValueError(f"{face.label}: {error}") from None


def nearest(faces: Iterable[AnyBoxed], box_px: Array) -> AnyBoxed | None:
    """The face or detection that overlaps a box (4,) x, y, width, height most; None where none does by MIN_IOU."""
    best = max(faces, key=lambda found: box_iou(found.box_px, box_px), default=None)
    return best if best is not None and box_iou(best.box_px, box_px) >= MIN_IOU else None


def evaluate_stills(
    dataset: Dataset,
    root: Path,
    report: Path,
    split: Split,
    model: str | None,
    detector: DetectorName,
    detector_model: Path | None,
    scheme: Scheme,
) -> None:
    """Measure a model on labelled faces, and write the report and its plot; see tracker.evaluate.evaluate."""
    labelled = labelled_faces(dataset, root, split, scheme)
    tracker = Tracker(found := find_model(model), detector, detector_model, MAX_FACES)
    evaluation = Evaluation(tracker, scheme)
    results, skipped = evaluation.faces(labelled)
    if not results:
        raise TrackerError(f"none of the {len(labelled)} faces in {root} can be read; the first: {skipped[0]}")
    ways: dict[str, Errors] = {
        "true boxes": {name: result.true_box for name, result in results.items()},
        "tracker": {name: result.detected for name, result in results.items()},
    }
    figures = {way: summary(errors) for way, errors in ways.items()}
    record = {
        "dataset": dataset,
        "split": split if dataset == "300w" else None,
        "model": (about := model_record(found, tracker.engine)),
        "scheme": evaluation.comparison.scheme.name,
        "detector": detector_names(tracker),
        "counts": {"labelled": len(labelled), "measured": len(results), "skipped": len(skipped)},
        "skipped": skipped,
        "true_boxes": figures["true boxes"],
        "through_detector": figures["tracker"],
        "by_face": {name: result.to_json() for name, result in results.items()},
    }
    name = f"300w {split}" if dataset == "300w" else os.path.basename(os.path.realpath(root))
    title = f"{name}: {len(results)} faces, {len(skipped)} skipped; {about['name']}"
    if evaluation.comparison.converts:
        title = f"{title}; {evaluation.comparison}"
    write_report(report, json.dumps(record, indent=1, allow_nan=False).encode())
    _plot(report.with_suffix(".png"), ways, title)
    print(title, table(figures), f"report: {report}", sep="\n")


def _plot(path: Path, ways: Mapping[str, Errors], title: str) -> None:
    try:
        content = plot_ced(ways, title)
    except ImportError as error:
        log.warning("no plot is drawn: %s", error)
    else:
        write_report(path, content)
