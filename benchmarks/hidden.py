"""python -m benchmarks.hidden --faces FOLDER: errors of hidden points, beside the deviations stated of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.reports import check_report, write_report
from tracker import Frame, Tracker
from tracker.cli.command import run_command
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.datasets.sample import Sample
from tracker.face.geometry import Array
from tracker.weights.packaged import identify_engine, landmark_model

Image = NDArray[np.uint8]
ANOTHER_FACE = 40  # percent of the eye distance: with such a mean error another face was found


def hide_nothing(image: Image, points: Array) -> None:
    """Leave the face as it is."""


def hide_mask(image: Image, points: Array) -> None:
    """Hide the jaw up to the nose under a light mask."""
    mask = np.concatenate([points[3:14], [points[33]]])
    cv2.fillPoly(image, [mask.astype(np.int32)], (200, 215, 225))


def hide_half(image: Image, points: Array) -> None:
    """Hide all to the left of the bridge of the nose, the person's right half, behind gray."""
    image[:, : max(0, int(points[27, 0]))] = 90


@dataclass(frozen=True)
class Cover:
    """A way to hide a part of a face.

    Attributes:
        hide: changes a picture (H, W, 3) in place, given the 68 labels.
        points: the landmarks that it hides; all for the face as it is.
    """

    hide: Callable[[Image, Array], None]
    points: NDArray[np.int64]


COVERS = {
    "uncovered": Cover(hide_nothing, np.arange(68)),
    "mask": Cover(hide_mask, np.r_[4:13, 48:68]),
    "half": Cover(hide_half, np.r_[0:7, 17:22, 36:42]),
}


def main() -> int:
    """Run the command line."""
    return run_command(hidden, "benchmarks.hidden")


def hidden(
    faces: Path,
    models: Sequence[str] = ("edge68", "edge68_fast", "edge68_300w", "edge68_fast_300w", "mid68_300w"),
    every: int = 3,
    report: Path = Path("runs/hidden.json"),
) -> None:
    """Measure points that are covered: their error, the deviation that is stated of them, and their visibility.

    Args:
        faces: a folder of NAME.jpg beside NAME.pts with 68 points.
        models: names of packaged models, or files.
        every: only every so many of the pictures.
        report: the .json file to write.
    """
    check_report(report)
    chosen = labelled_faces("folder", faces)[::every]
    figures: dict[str, Any] = {"faces": len(chosen), "models": {}}
    for name in models:
        path = landmark_model(Path(name))
        tracker = Tracker(path, max_faces=4)
        measured = {kind: measure(tracker, chosen, cover) for kind, cover in COVERS.items()}
        figures["models"][name] = {"model": str(identify_engine(tracker.engine)), **measured}
    write_report(report, figures)
    print(json.dumps(figures, indent=1))


def measure(tracker: Tracker, faces: Sequence[Sample], cover: Cover) -> dict[str, Any]:
    """Return the figures of the covered points, in percent of the outer eye corners' distance.

    The error and the stated deviation are root mean squares along a direction over the points of a face, averaged over
    faces; ratio is the one over the other.
    """
    errors, stated, scores, called_hidden, others_hidden = [], [], [], [], []
    others = np.setdiff1d(np.arange(68), cover.points)
    for face in faces:
        picture, truth = read_face(face)
        image = picture.copy()
        cover.hide(image, truth)
        unit = float(np.linalg.norm(truth[36] - truth[45])) / 100
        tracker.reset()
        for found in tracker.step(Frame(image, 0.0, 0)).faces:
            away = np.linalg.norm(found.landmarks.points_px - truth, axis=1) / unit
            if away.mean() >= ANOTHER_FACE:
                continue
            errors.append(np.sqrt((away[cover.points] ** 2).mean() / 2))
            stated.append(np.sqrt((found.landmarks.uncertainty_px[cover.points] ** 2).mean()) / unit)
            scores.append(found.score)
            if (visibility := found.landmarks.visibility) is not None:
                called_hidden.append((visibility[cover.points] < 0.5).mean())
                others_hidden.append((visibility[others] < 0.5).mean() if len(others) else np.nan)
    figures: dict[str, Any] = {"found": len(errors)}
    if errors:
        figures |= {
            "error_percent": round(float(np.mean(errors)), 2),
            "stated_percent": round(float(np.mean(stated)), 2),
            "ratio": round(float(np.mean(errors) / np.mean(stated)), 2),
            "score_median": round(float(np.median(scores)), 3),
        }
    if called_hidden:
        figures["called_hidden"] = round(float(np.mean(called_hidden)), 3)
        if len(others):
            figures["other_points_called_hidden"] = round(float(np.mean(others_hidden)), 3)
    return figures


if __name__ == "__main__":
    sys.exit(main())
