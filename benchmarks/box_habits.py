"""python -m benchmarks.box_habits --root 300W: what each detector's boxes span, for tracker/roi.py."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.cli import run_command
from tracker.detectors import Detector, load_detector
from tracker.evaluation.labelled import LabelledFace, labelled_faces
from tracker.evaluation.stills import nearest
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import extent, transform_points
from tracker.roi import BoxHabit, roi_of_detection

BOX_ITSELF = BoxHabit(right=0.0, down=0.0, side=1.0)


def main() -> int:
    """Run the command line."""
    return run_command(box_habits, "benchmarks.box_habits")


def box_habits(root: Path, faces: int = 150, threads: int = 1) -> None:
    """Print the medians over training faces of 300W as lines of BOX_HABITS, and how much they vary.

    Args:
        root: the folder that holds 300W's afw, helen and lfpw.
        faces: how many to measure, taken evenly from all.
        threads: of OpenCV.
    """
    cv2.setNumThreads(threads)
    labelled = labelled_faces("300w", root, "train")
    chosen = [labelled[i] for i in np.linspace(0, len(labelled) - 1, faces).astype(int)]
    for detector in (load_detector("yunet"), load_detector("blazeface")):
        spans = [span for face in chosen if (span := box_span(face, detector)) is not None]
        right, down, side = np.median(spans, axis=0)
        low, high = np.percentile(spans, (10, 90), axis=0)
        print(f'    "{detector.name}": BoxHabit({right:.2f}, {down:.2f}, {side:.2f}),')
        print(f"        {len(spans)} of {len(chosen)} faces; 10th to 90th percentile: {ranges(low, high)}")


def box_span(face: LabelledFace, detector: Detector) -> NDArray[np.float64] | None:
    """(3,) right, down and side, as BoxHabit has them, of one face; None where it is not detected."""
    image_rgb, points_px = face.read()
    found = nearest(detector.detect(image_rgb), extent(points_px))
    if found is None:
        return None
    box = roi_of_detection(found.box_px, found.eyes_px, BOX_ITSELF)
    view = roi_of_landmarks(points_px, box.rotation_rad)
    right, down = transform_points(box.crop_from_image(1), view.center_px)  # the box as one pixel, its middle at 0
    return np.array([right, down, view.side_px / box.side_px])


def ranges(low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    """Each of the three with its range."""
    named = zip(("right", "down", "side"), low, high)
    return ", ".join(f"{name} {a:.2f} .. {b:.2f}" for name, a, b in named)


if __name__ == "__main__":
    sys.exit(main())
