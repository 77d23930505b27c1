"""The pose of a head: known poses come back, and what is done to a picture is done to its pose."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import TrackerError
from tracker.analysis.head_pose import HeadPose, camera_matrix, head_pose, mean_head_mm
from tracker.datasets.pts_files import read_pts
from tracker.face.geometry import Array, flip_points, similarity, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import COFW29, IBUG68

SIZE = (640, 480)
CAMERA = camera_matrix(*SIZE)
angles = st.floats(-0.6, 0.6)
noises = st.integers(0, 99)


def rotation_of(pitch: float, yaw: float, roll: float) -> Array:
    """Rz(roll) @ Ry(yaw) @ Rx(pitch), each by Rodrigues."""
    x, y, z = (cv2.Rodrigues(a * axis)[0] for a, axis in zip((pitch, yaw, roll), np.eye(3)))
    return np.asarray(z @ y @ x)


def seen(rotation: Array, at_mm: tuple[float, float, float], camera: Array = CAMERA) -> Array:
    """(68, 2) the mean head through a pinhole, without OpenCV."""
    points = (mean_head_mm() @ rotation.T + at_mm) @ camera.T
    return np.asarray(points[:, :2] / points[:, 2:])


def pose_of(points_px: Array, camera: Array = CAMERA) -> HeadPose:
    pose = head_pose(Landmarks.from_points(points_px, IBUG68), camera)
    assert pose is not None
    return pose


def angles_of(pose: HeadPose) -> Array:
    return np.array([pose.pitch_rad, pose.yaw_rad, pose.roll_rad])


def noisy_face(pitch: float, yaw: float, roll: float, seed: int) -> Array:
    """A face that is not the mean one: every point moved by about 1 px of 80 between the eyes."""
    points = seen(rotation_of(pitch, yaw, roll), (20, -30, 600))
    return points + np.random.default_rng(seed).normal(0, 1, points.shape)


@given(pitch=angles, yaw=st.floats(-1.2, 1.2), roll=st.floats(-3, 3), x=st.floats(-150, 150), z=st.floats(250, 3000))
def test_a_known_pose_comes_back(pitch: float, yaw: float, roll: float, x: float, z: float) -> None:
    pose = pose_of(seen(rotation_of(pitch, yaw, roll), (x, -40, z)))
    assert angles_of(pose) == pytest.approx([pitch, yaw, roll], abs=1e-4)
    assert pose.translation_mm == pytest.approx([x, -40, z], rel=1e-4, abs=1e-2)
    assert pose.error_mm < 1e-3


def test_the_signs_are_as_stated() -> None:
    """Down, to the picture's left, clockwise: told by where the nose's tip and the left eye go on the screen."""
    still = seen(np.eye(3), (0, 0, 600))
    assert pose_of(still).rotation == pytest.approx(np.eye(3), abs=1e-5)
    down, left, clockwise = (seen(rotation_of(*row), (0, 0, 600)) for row in 0.2 * np.eye(3))
    assert down[30, 1] > still[30, 1]
    assert left[30, 0] < still[30, 0]
    assert clockwise[45, 1] > still[45, 1]
    for row, points in zip(0.2 * np.eye(3), (down, left, clockwise)):
        assert angles_of(pose_of(points)) == pytest.approx(row, abs=1e-4)


@given(pitch=angles, yaw=angles, roll=angles, turn=st.floats(-1.5, 1.5), seed=noises)
def test_roll_follows_the_picture(pitch: float, yaw: float, roll: float, turn: float, seed: int) -> None:
    points = noisy_face(pitch, yaw, roll, seed)
    middle = [(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]
    turned = transform_points(similarity(1, turn, middle, middle), points)
    expected = angles_of(pose_of(points)) + [0, 0, turn]
    assert angles_of(pose_of(turned)) == pytest.approx(expected, abs=1e-4)


@given(pitch=angles, yaw=angles, roll=angles, scale=st.floats(0.3, 4), seed=noises)
def test_size_of_the_picture_does_not_matter(pitch: float, yaw: float, roll: float, scale: float, seed: int) -> None:
    points = noisy_face(pitch, yaw, roll, seed)
    pose, resized = pose_of(points), pose_of((points + 0.5) * scale - 0.5, resized_camera(scale))
    assert angles_of(resized) == pytest.approx(angles_of(pose), abs=1e-4)
    assert resized.translation_mm == pytest.approx(pose.translation_mm, rel=1e-3, abs=0.05)
    assert resized.error_mm == pytest.approx(pose.error_mm, rel=1e-3)


def resized_camera(scale: float) -> Array:
    """The camera of the resized picture: its focal length, and its middle by the rule for points."""
    camera = CAMERA * scale
    camera[:2, 2] = (CAMERA[:2, 2] + 0.5) * scale - 0.5
    camera[2, 2] = 1
    return camera


@given(pitch=angles, yaw=angles, roll=angles, seed=noises)
def test_a_mirror_turns_yaw_and_roll_round(pitch: float, yaw: float, roll: float, seed: int) -> None:
    points = noisy_face(pitch, yaw, roll, seed)
    pose, mirrored = pose_of(points), pose_of(flip_points(points, SIZE[0], IBUG68.flip))
    assert angles_of(mirrored) == pytest.approx(angles_of(pose) * [1, -1, -1], abs=1e-3)
    assert mirrored.translation_mm == pytest.approx(pose.translation_mm * [-1, 1, 1], rel=1e-3, abs=0.05)


@given(pitch=angles, yaw=angles, roll=angles)
def test_other_names_of_the_same_rotation(pitch: float, yaw: float, roll: float) -> None:
    pose = HeadPose(rotation_of(pitch, yaw, roll), np.zeros(3), 0.0)
    assert angles_of(pose) == pytest.approx([pitch, yaw, roll], abs=1e-6)
    assert cv2.Rodrigues(pose.rotation_vector)[0] == pytest.approx(
        pose.rotation, abs=2e-5
    )  # OpenCV calls 1e-5 rad none
    x, y, z = (cv2.Rodrigues(a * axis)[0] for a, axis in zip(pose.openface_rad, np.eye(3)))
    assert x @ y @ z == pytest.approx(pose.rotation, abs=2e-5)  # OpenCV calls 1e-5 rad none


def test_a_nearer_camera_with_a_wider_view_sees_the_same() -> None:
    """The focal length decides the distance, and little else."""
    points = seen(rotation_of(0.1, 0.3, 0), (0, 0, 1500))
    near = pose_of(points, camera_matrix(*SIZE, focal_px=320))
    assert near.translation_mm[2] == pytest.approx(750, rel=0.05)
    assert angles_of(near) == pytest.approx([0.1, 0.3, 0], abs=0.1)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((68, 2)),
        np.outer(np.arange(68), (3, 2)),
        np.full((68, 2), 1e9),
        np.random.default_rng(0).uniform(0, 400, (68, 2)),
    ],
    ids=["one point", "a line", "far away", "no face"],
)
def test_what_is_no_face_has_no_pose(points: Array) -> None:
    assert head_pose(Landmarks.from_points(points, IBUG68), CAMERA) is None


def test_the_layout_of_the_array_does_not_matter() -> None:
    """OpenCV refuses arrays in column order; Landmarks keep the order they are given."""
    points = seen(rotation_of(0.1, 0.2, 0.3), (0, 0, 600))
    assert angles_of(pose_of(np.asfortranarray(points))) == pytest.approx([0.1, 0.2, 0.3], abs=1e-4)


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(TrackerError, match=r"expected landmarks of ibug68 .* got cofw29 and \(3, 3\)"):
        head_pose(Landmarks.from_points(np.zeros((29, 2)), COFW29), CAMERA)
    with pytest.raises(TrackerError, match=r"camera matrix \(3, 3\), got ibug68 and \(2,\)"):
        head_pose(Landmarks.from_points(np.zeros((68, 2)), IBUG68), np.array([640.0, 480.0]))


def test_the_mean_head_is_a_head() -> None:
    """Symmetric, its origin between the eyes, the tip of the nose in front, and of an adult's size (Farkas 1994)."""
    head = mean_head_mm()
    assert head.shape == (68, 3)
    assert head[IBUG68.flip] * [-1, 1, 1] == pytest.approx(head, abs=0.011)  # rounded to hundredths
    right, left = head[36:42].mean(0), head[42:48].mean(0)
    assert right + left == pytest.approx(np.zeros(3), abs=0.02)
    assert head[30, 2] == head[:, 2].min()
    assert 87 <= np.linalg.norm(head[36] - head[45]) <= 91
    assert 111 <= np.linalg.norm(head[27] - head[8]) <= 125
    assert head[8, 2] - head[27, 2] == pytest.approx(3, abs=0.1)


def test_a_head_around_the_camera_has_no_pose() -> None:
    """Of a face whose nose would be behind the camera the points fit without error, and yet nobody has seen them."""
    at_mm = (5.0, 0.0, 20.0)
    assert (mean_head_mm()[:, 2] + at_mm[2]).min() < 0
    assert head_pose(Landmarks.from_points(seen(np.eye(3), at_mm), IBUG68), CAMERA) is None


@given(seed=st.integers(0, 10_000))
def test_shuffled_points_have_no_pose(seed: int, face68: Array) -> None:
    points = np.random.default_rng(seed).permutation(face68)
    assert head_pose(Landmarks.from_points(points, IBUG68), camera_matrix(120, 120)) is None


def test_real_faces_agree_with_their_eye_line(shared: Path) -> None:
    """Labels of 300W: roll is the slope of the eyes' line where the head looks ahead; yaw is the turned side's."""
    labels = sorted((shared / "data/300w/lfpw/testset").glob("*.pts"))[:100]
    rolls, slopes, yaws, sides = [], [], [], []
    for label in labels:
        points = read_pts(label)
        size = points.max(0) - points.min(0)
        pose = pose_of(points - points.min(0) + size / 2, camera_matrix(*(2 * size).astype(int).tolist()))
        across = points[45] - points[36]
        if abs(pose.yaw_rad) < 0.2:
            rolls.append(pose.roll_rad)
            slopes.append(np.arctan2(across[1], across[0]))
        yaws.append(pose.yaw_rad)
        sides.append((points[30] - points[[36, 45]].mean(0)) @ across / (across @ across))
    assert len(rolls) > 30
    assert np.abs(np.subtract(rolls, slopes)).mean() < np.radians(1.5)
    assert np.corrcoef(yaws, sides)[0, 1] < -0.97
