"""python -m tools.box_calibration --labels FOLDER: fits the calibration of each packaged detector's boxes.

calibrate() fits that of any other detector.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.cli.command import run_command
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.datasets.sample import Sample
from tracker.detectors.base import BoxCalibration, Detector, roi_of_detection
from tracker.detectors.loading import load_detector
from tracker.errors import TrackerError
from tracker.evaluation.stills import nearest
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array, extent, transform_points

BOX_ITSELF = BoxCalibration(right=0.0, down=0.0, side=1.0)
BORDER = 0.5
"""Of the longer side, added around each picture: FairFace's are cut so near to the face that a detector sees no more
than it, as it seldom does in a camera's picture."""


def main() -> int:
    """Run the command line."""
    return run_command(box_calibration, "tools.box_calibration")


def box_calibration(labels: Path, faces: int = 600, threads: int = 1) -> None:
    """Print the medians over labelled faces as the CALIBRATION of each detector, and how much they vary.

    Args:
        labels: a folder of NAME.jpg beside NAME.pts, 68 points.
        faces: how many to measure, taken evenly from all.
        threads: of OpenCV.
    """
    cv2.setNumThreads(threads)
    chosen = evenly(labelled_faces("folder", labels), faces)
    for detector in (load_detector("yunet"), load_detector("blazeface")):
        spans = box_spans(chosen, detector)
        low, high = np.percentile(spans, (10, 90), axis=0)
        print(f"{detector.name}: {median(spans)}")
        print(f"    {len(spans)} of {len(chosen)} faces; 10th to 90th percentile: {ranges(low, high)}")


def evenly(faces: list[Sample], count: int) -> list[Sample]:
    """Return so many of the faces, or all if there are fewer, evenly spaced from the first to the last."""
    return [faces[i] for i in np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)]


def calibrate(faces: list[Sample], detector: Detector) -> BoxCalibration:
    """Fit the calibration of a detector's boxes.

    Args:
        faces: labelled with 68 points, see tracker.datasets.labelled.labelled_faces; some hundreds.
        detector: whose boxes are compared with the labels.

    Raises:
        TrackerError: if the detector finds none of the faces.
    """
    spans = box_spans(faces, detector)
    if not len(spans):
        raise TrackerError(f"the detector finds none of the {len(faces)} faces, so its boxes cannot be calibrated")
    return median(spans)


def median(spans: Array) -> BoxCalibration:
    """Return the medians of spans (N, 3), but 0 for right: it changes its sign in mirrored pictures."""
    _, down, side = np.median(spans, axis=0).round(2).tolist()
    return BoxCalibration(0.0, down, side)


def box_spans(faces: list[Sample], detector: Detector) -> Array:
    """Return (N, 3) right, down and side, as in BoxCalibration, of the faces that are detected."""
    spans = [box_span(*read_face(face), detector) for face in faces]
    return np.array([span for span in spans if span is not None]).reshape(-1, 3)


def box_span(image_rgb: NDArray[np.uint8], points_px: Array, detector: Detector) -> Array | None:
    """Return (3,) right, down and side of one face; None if it is not detected."""
    border = round(BORDER * max(image_rgb.shape[:2]))
    wider = np.asarray(cv2.copyMakeBorder(image_rgb, border, border, border, border, cv2.BORDER_REPLICATE), np.uint8)
    found = nearest(detector.detect(wider), extent(points_px + border))
    if found is None:
        return None
    box = roi_of_detection(found, BOX_ITSELF)
    view = roi_of_landmarks(points_px + border, box.rotation_rad)
    right, down = transform_points(box.crop_from_image(1), view.center_px)  # the box as one pixel, its middle at 0
    return np.array([right, down, view.side_px / box.side_px])


def ranges(low: Array, high: Array) -> str:
    """Format each of the three with its range."""
    named = zip(("right", "down", "side"), low, high)
    return ", ".join(f"{name} {a:.2f} .. {b:.2f}" for name, a, b in named)


if __name__ == "__main__":
    sys.exit(main())
