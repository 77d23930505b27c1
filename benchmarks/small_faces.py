"""python -m benchmarks.small_faces: the error on small faces, by shrinking labelled pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.detectors.base import resize
from tracker.engines.onnx import OnnxEngine
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array, invert, transform_points
from tracker.metrics.nme import nme
from tracker.tracking.estimator import LandmarkEstimator
from tracker.weights.packaged import landmark_model

SIDES_PX = (32, 40, 56, 72, 88, 104, 128, 160)
"""Of a face's view in the picture, which is 1.25 times the extent of its landmarks."""


def main() -> int:
    """Run the command line."""
    return run_command(small_faces, "benchmarks.small_faces")


def small_faces(
    root: Path, models: Sequence[str] = ("edge68", "edge68_fast"), report: Path = Path("runs/small_faces.json")
) -> None:
    """Measure models in the ROIs of the labels, in pictures that are shrunk until the ROI has a given side.

    Args:
        root: a folder of pictures with .pts files beside them, such as the LFPW test set of 300W.
        models: .onnx files or names of packaged models.
        report: the .json file to write.
    """
    check_report(report)
    faces = [read_face(face) for face in labelled_faces("folder", root)]
    estimators = {model: LandmarkEstimator(OnnxEngine(landmark_model(Path(model)))) for model in models}
    rows = {name: {side: error_percent(each, faces, side) for side in SIDES_PX} for name, each in estimators.items()}
    write_report(report, rows)
    print(table(rows))


def error_percent(
    estimator: LandmarkEstimator, faces: Sequence[tuple[NDArray[np.uint8], Array]], side_px: int
) -> float:
    """Return the mean NME in percent of the inter-ocular distance, over faces of at most that size."""
    errors = []
    for image_rgb, points_px in faces:
        small_rgb, image_from_small = resize(image_rgb, min(1.0, side_px / roi_of_landmarks(points_px).side_px))
        truth_px = transform_points(invert(image_from_small), points_px)
        (found,) = estimator.estimate(small_rgb, [roi_of_landmarks(truth_px)])
        errors.append(nme(found.landmarks.points_px, truth_px, estimator.scheme))
    return 100 * float(np.mean(errors))


def table(rows: dict[str, dict[int, float]]) -> str:
    """Format as Markdown."""
    lines = [f"| view, px | {' | '.join(f'{side}' for side in SIDES_PX)} |", "| --- " * (1 + len(SIDES_PX)) + "|"]
    lines += [f"| `{name}` | {' | '.join(f'{row[side]:.2f}' for side in SIDES_PX)} |" for name, row in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
