"""python -m tracker.label --images FOLDER --output faces.csv

Labels pictures that nobody has labelled, to train on or to correct by hand: slower than tracking and more accurate.
"""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.cli import run_command
from tracker.detectors import Detector, DetectorName, load_detector
from tracker.engines.onnx import OnnxEngine
from tracker.errors import TrackerError
from tracker.face.crop import Roi
from tracker.face.geometry import Array, extent, flip_points
from tracker.face.table import table_header, table_row
from tracker.files import write_whole
from tracker.frames import Folder
from tracker.measure import Measurer
from tracker.models import landmark_model
from tracker.roi import BOX_HABITS, next_roi, roi_of_detection

TURNS_DEG = (-8.0, 0.0, 8.0)
SIDES = (1.0, 0.89)  # of the view the tracker would take


@dataclass(frozen=True)
class Label:
    """One face: its landmarks (K, 2) in pixels of the picture, and how far the views disagree on them.

    disagreement: root mean square distance of the views' landmarks from their mean, over the face's size (the square
    root of the landmarks' extent).
    """

    points_px: Array
    disagreement: float


class Labeller:
    """Landmarks as the mean over views: upright and turned, near and nearer, and all of them mirrored."""

    def __init__(self, measurer: Measurer, detector: Detector) -> None:
        self.measurer, self.detector = measurer, detector

    def label(self, image_rgb: NDArray[np.uint8]) -> Iterator[Label]:
        """The faces of an RGB picture (H, W, 3) that the model takes for one."""
        habit = BOX_HABITS[self.detector.name]
        found = [roi_of_detection(d.box_px, d.eyes_px, habit) for d in self.detector.detect(image_rgb)]
        mirrored = np.ascontiguousarray(image_rgb[:, ::-1])
        for landmarks, score in self.measurer.measure_twice(image_rgb, found):
            if score >= self.measurer.engine.spec.presence:
                views = self._views(image_rgb, mirrored, next_roi(landmarks))
                mean = views.mean(0)
                distance = math.sqrt(np.square(views - mean).sum(-1).mean())
                yield Label(mean, distance / math.sqrt(np.prod(extent(mean)[2:])))

    def _views(self, image_rgb: NDArray[np.uint8], mirrored: NDArray[np.uint8], roi: Roi) -> Array:
        """(views, K, 2) in pixels of the picture."""
        width, flip = image_rgb.shape[1], self.measurer.scheme.flip
        turns = [math.radians(turn) for turn in TURNS_DEG]
        rois = [Roi(roi.center_px, roi.side_px * side, roi.rotation_rad + turn) for turn in turns for side in SIDES]
        (x, y) = roi.center_px
        flipped = [Roi((width - 1 - x, y), r.side_px, -r.rotation_rad) for r in rois]
        plain = [face.landmarks.points_px for face in self.measurer.measure(image_rgb, rois)]
        back = [flip_points(m.landmarks.points_px, width, flip) for m in self.measurer.measure(mirrored, flipped)]
        return np.array(plain + back)


def label(
    images: Path,
    output: Path,
    model: Path | None = None,
    detector: DetectorName = "auto",
    detector_model: Path | None = None,
    disagreement: float = 0.02,
) -> None:
    """Label the faces in a folder of pictures.

    Args:
        images: the folder.
        output: the .csv to write (tracker.face.table), as train.sources.Own reads it.
        model: landmark model; the packaged one if not given.
        detector: finds the faces.
        detector_model: its file.
        disagreement: faces on which the views disagree by more are left out; over the face's size.
    """
    if not output.parent.is_dir():  # said now, not after an hour of labelling
        raise TrackerError(f"cannot write {output}: there is no such folder; give another --output")
    measurer = Measurer(OnnxEngine(landmark_model(model)))
    labeller = Labeller(measurer, load_detector(detector, detector_model))
    rows, doubtful = [], 0
    with Folder(images) as pictures:
        for frame in pictures:
            picture = _beside(output, pictures.paths[frame.index])
            for face in labeller.label(frame.image_rgb):
                if face.disagreement > disagreement:
                    doubtful += 1
                else:
                    rows.append(table_row(picture, face.points_px))
    _write(output, [table_header(measurer.scheme), *rows])
    print(f"{output}: {len(rows)} faces of {len(pictures.paths)} pictures; {doubtful} left out as doubtful")


def _beside(table: Path, picture: Path) -> str:
    """The picture as the table names it: relative to the table, unless it is on another drive."""
    try:
        return Path(os.path.relpath(picture, table.parent)).as_posix()
    except ValueError:
        return picture.resolve().as_posix()


def _write(path: Path, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    try:
        write_whole(path, text.getvalue().encode())
    except OSError as error:
        raise TrackerError(f"cannot write {path}: {error.strerror}; give another --output") from None


def main() -> int:
    """Run the command line."""
    return run_command(label, "tracker.label")


if __name__ == "__main__":
    sys.exit(main())
