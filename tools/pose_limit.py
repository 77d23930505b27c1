"""python -m tools.pose_limit --labels FOLDER: fits the error above which a head pose is invalid.

The limit is WORST_MM of tracker/analysis/head_pose.py.

It lies between the largest error of labelled faces and the least of the same points in a random order, which are no
face: their geometric mean. Both with the camera that camera_matrix guesses from the picture alone, as for anybody's
picture; where a picture is cut out around a face, that camera is too near and the errors are the larger.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import cv2
import numpy as np

from tracker.analysis.head_pose import camera_matrix, nearest_pose
from tracker.cli.command import run_command
from tracker.datasets.labelled import labelled_faces
from tracker.face.geometry import Array


def main() -> int:
    """Run the command line."""
    return run_command(pose_limit, "tools.pose_limit")


def pose_limit(labels: Path, size: int = 224) -> None:
    """Print WORST_MM and the two errors that bound it.

    Args:
        labels: a folder of NAME.jpg beside NAME.pts, 68 points.
        size: the side in pixels of its pictures, all square, as FairFace's are.
    """
    points = [face.points_px for face in labelled_faces("folder", labels)]
    camera = camera_matrix(size, size)
    faces, shuffled = errors_mm(points, camera), errors_mm(shuffle(points), camera)
    print(f"WORST_MM = {limit(faces, shuffled)}")
    for name, errors in ((f"{len(faces)} of {len(points)} faces", faces), (f"{len(shuffled)} shuffled", shuffled)):
        least, median, high, largest = np.percentile(errors, (0, 50, 99.9, 100))
        print(f"{name}: least {least:.1f}, median {median:.1f}, 99.9 % below {high:.1f}, largest {largest:.1f} mm")


def shuffle(points: list[Array]) -> list[Array]:
    """Return the points of each face in a random order."""
    rng = np.random.default_rng(0)
    return [rng.permutation(face) for face in points]


def errors_mm(points: list[Array], camera: Array) -> Array:
    """Return error_mm (N,) of each face for which a pose can be solved."""
    poses = [nearest_pose(face, camera) for face in points]
    return np.array([pose.error_mm for pose in poses if pose is not None])


def limit(faces: Array, shuffled: Array) -> float:
    """Return the geometric mean of the two, in whole millimetres."""
    return float(round(math.sqrt(float(faces.max()) * float(shuffled.min()))))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    sys.exit(main())
