"""Evaluation on labelled pictures: each face in the ROI of its labels, and as the tracker finds it."""

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

from tracker.datasets.labelled import Dataset, expect_lengths, labelled_faces, name_in, read_face
from tracker.datasets.sample import DatasetError, Sample
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

log = logging.getLogger(__name__)

MIN_IOU = 0.3  # a box that overlaps the labels' extent by less is another face
MAX_FACES = 100
"""Some pictures show other faces than the labelled one, which may be larger."""


class Boxed(Protocol):
    """Anything with a box."""

    @property
    def box_px(self) -> Array:
        """(4,) x, y, width, height in pixels."""


AnyBoxed = TypeVar("AnyBoxed", bound=Boxed)


@dataclass(frozen=True)
class FaceResult:
    """The errors of one face.

    Attributes:
        true_box: in the ROI of its labels.
        detected: as the tracker finds it; None if it was not found.
        missed: why it was not found.
    """

    true_box: FaceError
    detected: FaceError | None
    missed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return both errors, or why the face was not found."""
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
    """Measures labelled faces in the ROIs of their labels, and as a tracker finds them in their pictures.

    Args:
        tracker: with the model and the detectors to measure.
        labels: the scheme of the labels.

    Raises:
        TrackerError: if the model's landmarks cannot be compared with labels of that scheme.
    """

    def __init__(self, tracker: Tracker, labels: Scheme = IBUG68) -> None:
        self.comparison = Comparison.of(tracker.engine.spec.landmark_scheme(), labels)
        self.estimator = LandmarkEstimator(tracker.engine)
        self.tracker = tracker

    def face(self, image_rgb: NDArray[np.uint8], truth_px: Array) -> FaceResult:
        """Measure one face.

        Args:
            image_rgb: (H, W, 3).
            truth_px: (K, 2) its labels, in pixels of the picture.
        """
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

    def faces(self, labelled: Iterable[Sample], root: Path) -> tuple[dict[str, FaceResult], list[str]]:
        """Measure several faces; those that cannot be read are skipped.

        Args:
            labelled: the faces.
            root: of their set, which their names are relative to.

        Returns:
            The results by name, and the error of each face that was skipped.
        """
        results: dict[str, FaceResult] = {}
        skipped: list[str] = []
        for face in labelled:
            try:
                image_rgb, truth_px = read_face(face)
                self._expect_comparable(face, truth_px)
            except (ValueError, OSError) as error:
                log.warning("skipped %s", error)
                skipped.append(str(error))
            else:
                results[name_in(root, face)] = self.face(image_rgb, truth_px)
        return results, skipped

    def _expect_comparable(self, face: Sample, truth_px: Array) -> None:
        try:
            expect_lengths(self.comparison.of_labels(truth_px), self.comparison.scheme)
        except ValueError as error:
            raise ValueError(f"{face.label or face.name}: {error}") from None


def nearest(faces: Iterable[AnyBoxed], box_px: Array) -> AnyBoxed | None:
    """Return the face or detection with the largest overlap with a box; None if the IoU is below MIN_IOU.

    Args:
        faces: to choose from.
        box_px: (4,) x, y, width, height.
    """
    best = max(faces, key=lambda found: box_iou(found.box_px, box_px), default=None)
    return best if best is not None and box_iou(best.box_px, box_px) >= MIN_IOU else None


def evaluate_stills(
    dataset: Dataset,
    root: Path,
    report: Path,
    split: str | None,
    model: str | None,
    detector: DetectorName,
    detector_model: Path | None,
    scheme: Scheme,
) -> None:
    """Measure a model on labelled faces, and write the report and its plot.

    The arguments are those of tracker.evaluate.evaluate.
    """
    tracker = Tracker(model, detector, detector_model, MAX_FACES)
    evaluation = Evaluation(tracker, scheme)
    invalid: list[DatasetError] = []
    labelled = labelled_faces(dataset, root, split, scheme, invalid)
    for error in invalid:
        log.warning("skipped %s", error)
    count = len(labelled) + len(invalid)
    results, unread = evaluation.faces(labelled, root)
    skipped = [*map(str, invalid), *unread]
    if not results:
        raise TrackerError(f"none of the {count} faces in {root} can be read; the first: {skipped[0]}")
    modes: dict[str, Errors] = {
        "true boxes": {name: result.true_box for name, result in results.items()},
        "tracker": {name: result.detected for name, result in results.items()},
    }
    figures = {mode: summary(errors) for mode, errors in modes.items()}
    record = {
        "dataset": dataset,
        "split": split,
        "model": (about := model_record(tracker.engine)),
        "scheme": evaluation.comparison.scheme.name,
        "detector": detector_names(tracker),
        "counts": {"labelled": count, "measured": len(results), "skipped": len(skipped)},
        "skipped": skipped,
        "true_boxes": figures["true boxes"],
        "through_detector": figures["tracker"],
        "by_face": {name: result.to_json() for name, result in results.items()},
    }
    name = f"{dataset} {split}" if split else os.path.basename(os.path.realpath(root))
    title = f"{name}: {len(results)} faces, {len(skipped)} skipped; {about['name']}"
    if evaluation.comparison.converts:
        title = f"{title}; {evaluation.comparison}"
    write_report(report, json.dumps(record, indent=1, allow_nan=False).encode())
    _plot(report.with_suffix(".png"), modes, title)
    print(title, table(figures), f"report: {report}", sep="\n")


def _plot(path: Path, modes: Mapping[str, Errors], title: str) -> None:
    try:
        content = plot_ced(modes, title)
    except ImportError as error:
        log.warning("no plot is drawn: %s", error)
    else:
        write_report(path, content)
