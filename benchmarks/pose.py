"""python -m benchmarks.pose --root 300W --videos '[CLIP, ...]': accuracy and jitter of head_pose in degrees.

The true poses in these pictures are unknown, so accuracy is measured on projections of the mean head. On pictures, the
pose is checked for consistency under mirroring and rotation, through crop and engine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker import HeadPose, Landmarks, Tracker, camera_matrix, head_pose
from tracker.analysis.head_pose import mean_head_mm
from tracker.cli.command import run_command
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.engines.loading import load_engine
from tracker.face.geometry import similarity, transform_points
from tracker.face.schemes import IBUG68
from tracker.sources import open_source
from tracker.tracking.estimator import LandmarkEstimator, next_roi
from tracker.weights.packaged import landmark_model

Array = NDArray[np.float64]
NOISE = 0.03  # mean distance of a point from its label, of the outer eye distance: about the packaged model's
TURN_RAD = 0.35


def main() -> int:
    """Run the command line."""
    return run_command(pose, "benchmarks.pose")


def pose(root: Path, videos: list[Path], threads: int = 1) -> None:
    """Print root mean squares in degrees: pitch, yaw, roll.

    Args:
        root: the folder that holds 300W's lfpw/testset.
        videos: clips of one face each, for the jitter.
        threads: of OpenCV.
    """
    cv2.setNumThreads(threads)
    estimator = LandmarkEstimator(load_engine(landmark_model()))
    print(f"the mean head with {NOISE:.0%} of noise, +-34 degrees about each axis: {degrees(synthetic(500))}")
    mirrored, turned = zip(
        *(consistency(estimator, *read_face(face)) for face in labelled_faces("300w", root, "lfpw-test"))
    )
    print(f"mirrored pictures against their originals: {degrees(np.stack(mirrored))}")
    print(f"pictures turned by {np.degrees(TURN_RAD):.0f} degrees, less the turn: {degrees(np.stack(turned))}")
    for video in videos:
        print(f"jitter in {video.name}, from the second differences: {degrees(jitter(video))}")


def degrees(errors_rad: Array) -> str:
    """Format the root mean squares of errors (N, 3) in degrees."""
    return ", ".join(f"{value:.2f}" for value in np.degrees(np.sqrt(np.square(errors_rad).mean(0))))


def angles(pose: HeadPose | None) -> Array:
    """Return pitch, yaw and roll in radians; NaN without a pose."""
    return np.array([pose.pitch_rad, pose.yaw_rad, pose.roll_rad] if pose else [np.nan] * 3)


def synthetic(count: int) -> Array:
    """Return errors (count, 3) of known poses, 60 cm in front of a camera of 640x480."""
    rng, camera = np.random.default_rng(0), camera_matrix(640, 480)
    errors = []
    for truth in rng.uniform(-0.6, 0.6, (count, 3)):
        x, y, z = (cv2.Rodrigues(angle * axis)[0] for angle, axis in zip(truth, np.eye(3)))
        points = (mean_head_mm() @ (z @ y @ x).T + (30, 20, 600)) @ camera.T
        points_px = points[:, :2] / points[:, 2:]
        size = np.ptp(mean_head_mm()[[36, 45], 0]) * camera[0, 0] / 600
        points_px += rng.normal(0, NOISE * size / np.sqrt(np.pi / 2), points_px.shape)
        errors.append(angles(head_pose(Landmarks.from_points(points_px, IBUG68), camera)) - truth)
    return np.stack(errors)


def consistency(estimator: LandmarkEstimator, image_rgb: NDArray[np.uint8], labels_px: Array) -> tuple[Array, Array]:
    """Return the deviations (3,) from the expected effect of mirroring and of rotation."""
    height, width = image_rgb.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    turn = similarity(1, TURN_RAD, middle, middle)
    flipped = labels_px[IBUG68.flip] * (-1, 1) + (width - 1, 0)
    turned_rgb = cv2.warpAffine(image_rgb, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    plain = measured(estimator, image_rgb, labels_px)
    mirrored = measured(estimator, np.ascontiguousarray(image_rgb[:, ::-1]), flipped)
    turned = measured(estimator, turned_rgb.astype(np.uint8), transform_points(turn, labels_px))
    return mirrored - plain * (1, -1, -1), turned - plain - (0, 0, TURN_RAD)


def measured(estimator: LandmarkEstimator, image_rgb: NDArray[np.uint8], labels_px: Array) -> Array:
    """Return the angles with the packaged model, in the ROI of the labels."""
    height, width = image_rgb.shape[:2]
    face = estimator.estimate(image_rgb, [next_roi(Landmarks.from_points(labels_px, IBUG68))])[0]
    return angles(head_pose(face.landmarks, camera_matrix(width, height)))


def jitter(video: Path) -> Array:
    """Return second differences (N, 3) of the raw pose over sqrt(6), the standard deviation of white noise."""
    tracker = Tracker(max_faces=1, smoothing="none")
    with open_source(str(video)) as frames:
        poses = [
            angles(head_pose(face.raw, camera_matrix(frame.image_rgb.shape[1], frame.image_rgb.shape[0])))
            for frame in frames
            for face in tracker.step(frame).faces
        ]
    return np.asarray(np.diff(np.stack(poses), 2, axis=0) / np.sqrt(6))


if __name__ == "__main__":
    sys.exit(main())
