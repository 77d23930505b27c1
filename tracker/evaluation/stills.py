"""Labelled stills: each face in the view of its labels, and through a detector."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.datasets.labelled import Dataset, LabelledFace, Split, labelled_faces
from tracker.detectors.base import CalibratedDetector, Detection, roi_of_detection
from tracker.detectors.loading import DetectorName, load_detector
from tracker.engines.base import Engine
from tracker.engines.loading import load_engine
from tracker.errors import TrackerError
from tracker.evaluation.report import expect_ibug68, model_record, write_report
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array, box_iou, extent
from tracker.metrics.accuracy import Errors, FaceError, face_error, plot_ced, summary, table
from tracker.tracking.estimator import Measurer
from tracker.weights.packaged import landmark_model

log = logging.getLogger(__name__)

MIN_IOU = 0.3  # a detection that overlaps the labels' extent by less is of something else


@dataclass(frozen=True)
class FaceResult:
    """One face, in the view of its labels and through the detector (None: not found, and why in missed)."""

    true_box: FaceError
    detected: FaceError | None
    missed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Both errors, or what became of the face."""
        detected = self.detected.to_json() if self.detected else {"missed": self.missed}
        return {"true_boxes": self.true_box.to_json(), "detector": detected}


class Evaluation:
    """Measures labelled faces as Tracker would measure them in a first frame."""

    def __init__(self, engine: Engine, detector: CalibratedDetector) -> None:
        """Raises TrackerError for a model of another scheme than the labels'."""
        expect_ibug68(engine)
        self.measurer = Measurer(engine)
        self.detector = detector

    def face(self, image_rgb: NDArray[np.uint8], truth_px: Array) -> FaceResult:
        """One face of an RGB picture (H, W, 3), its labels (68, 2) in the picture's pixels."""
        landmarks, score = self.measurer.measure(image_rgb, [roi_of_landmarks(truth_px)])[0]
        true_box = face_error(landmarks, truth_px, score)
        detection = nearest(self.detector.detect(image_rgb), extent(truth_px))
        if detection is None:
            return FaceResult(true_box, None, "not detected")
        roi = roi_of_detection(detection, self.detector.calibration)
        landmarks, score = self.measurer.measure_twice(image_rgb, [roi])[0]
        if score < self.measurer.engine.spec.presence:
            return FaceResult(true_box, None, f"detected, but its score {score:.3f} is too low for a face")
        return FaceResult(true_box, face_error(landmarks, truth_px, score))

    def faces(self, labelled: Iterable[LabelledFace]) -> tuple[dict[str, FaceResult], list[str]]:
        """The results by name, and what is wrong with each face that cannot be read, which is skipped."""
        results: dict[str, FaceResult] = {}
        skipped: list[str] = []
        for face in labelled:
            try:
                image_rgb, truth_px = face.read()
            except (ValueError, OSError) as error:
                log.warning("skipped %s", error)
                skipped.append(str(error))
            else:
                results[face.name] = self.face(image_rgb, truth_px)
        return results, skipped


def nearest(detections: Iterable[Detection], box_px: Array) -> Detection | None:
    """The detection that overlaps a box (4,) x, y, width, height most; None where none does by MIN_IOU."""
    best = max(detections, key=lambda found: box_iou(found.box_px, box_px), default=None)
    return best if best is not None and box_iou(best.box_px, box_px) >= MIN_IOU else None


def evaluate_stills(
    dataset: Dataset,
    root: Path,
    report: Path,
    split: Split,
    model: Path | None,
    detector: DetectorName,
    detector_model: Path | None,
) -> None:
    """Measure a model on labelled faces, and write the report and its plot; see tracker.evaluate.evaluate."""
    labelled = labelled_faces(dataset, root, split)
    engine = load_engine(model := landmark_model(model))
    evaluation = Evaluation(engine, load_detector(detector, detector_model))
    results, skipped = evaluation.faces(labelled)
    if not results:
        raise TrackerError(f"none of the {len(labelled)} faces in {root} can be read; the first: {skipped[0]}")
    ways: dict[str, Errors] = {
        "true boxes": {name: result.true_box for name, result in results.items()},
        evaluation.detector.name: {name: result.detected for name, result in results.items()},
    }
    figures = {way: summary(errors) for way, errors in ways.items()}
    record = {
        "dataset": dataset,
        "split": split if dataset == "300w" else None,
        "model": model_record(model, engine),
        "detector": evaluation.detector.name,
        "counts": {"labelled": len(labelled), "measured": len(results), "skipped": len(skipped)},
        "skipped": skipped,
        "true_boxes": figures["true boxes"],
        "through_detector": figures[evaluation.detector.name],
        "by_face": {name: result.to_json() for name, result in results.items()},
    }
    name = f"300w {split}" if dataset == "300w" else os.path.basename(os.path.realpath(root))
    title = f"{name}: {len(results)} faces, {len(skipped)} skipped; {model.name}"
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
