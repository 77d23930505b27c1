"""Position and orientation of a head: the pose in which the landmarks of a mean head fit those of a face.

Convention: millimetres in the camera's frame: x to the right of the picture, y down, z away from the camera, origin in
the centre of projection. The head's own frame has the same directions when the head looks straight into the camera, and
its origin is midway between the eyes. Angles are in radians.

    rotation = Rz(roll) @ Ry(yaw) @ Rx(pitch)        camera_point = rotation @ head_point + translation_mm

pitch > 0: the head looks down. yaw > 0: it turns to the left of the picture. roll > 0: it tilts clockwise on the
screen. Pitch is 0 when the neutral head of ICT-FaceKit looks straight ahead; its chin (point 8) is then 3 mm farther
from the camera than the root of its nose (27).

The mean head, head68_mm.csv, is the neutral head of ICT-FaceKit; tools/mean_head.py makes the file. A person's head
differs from the mean, so the angles of one person have a constant offset of some degrees: the pitch of 102 people who
look straight into the camera (Face Research Lab London Set, points by hand) has a mean of -0.3 degrees and a standard
deviation of 3.6 degrees. The distance is right if the person's pupils are 63 mm apart (Dodgson 2004) and the focal
length is right. benchmarks/pose.md has the errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68

RIGID = (*range(27, 36), 36, 39, 42, 45)
"""The points that the pose is computed from: nose and eye corners. Brows, lids, lips and jaw move with expressions."""

_LARGEST_CAMERA_PX = 1e9
WORST_MM = 10.0
"""A pose with a larger error_mm is rejected. Between the largest error of labelled faces and the smallest of shuffled
points; fitted by tools/pose_limit.py."""


@dataclass(frozen=True, eq=False)
class HeadPose:
    """The pose of one head, in the camera's frame (x right, y down, z away from the camera; millimetres).

    Attributes:
        rotation: (3, 3) from the head's frame to the camera's.
        translation_mm: (3,) position of the point midway between the eyes.
        error_mm: root mean square distance between the points used and those of the mean head, converted to
            millimetres at the depth of each point; about 2 for a well visible face.
    """

    rotation: Array
    translation_mm: Array
    error_mm: float

    @property
    def pitch_rad(self) -> float:
        """Radians, -pi to pi; above 0 the head looks down."""
        return float(np.arctan2(self.rotation[2, 1], self.rotation[2, 2]))

    @property
    def yaw_rad(self) -> float:
        """Radians, -pi/2 to pi/2; above 0 the head turns to the left of the picture."""
        return float(np.arcsin(np.clip(-self.rotation[2, 0], -1, 1)))

    @property
    def roll_rad(self) -> float:
        """Radians, -pi to pi; above 0 the head tilts clockwise on the screen.

        Rotating the picture about its middle adds that angle to the roll and changes no other angle.
        """
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    @property
    def rotation_vector(self) -> Array:
        """(3,) axis times angle in radians, as in OpenCV's Rodrigues."""
        return np.asarray(cv2.Rodrigues(self.rotation)[0], np.float64).ravel()

    @property
    def openface_rad(self) -> Array:
        """(3,) OpenFace's pose_Rx, pose_Ry, pose_Rz in radians: the same rotation decomposed as Rx @ Ry @ Rz."""
        r = self.rotation
        return np.array(
            [np.arctan2(-r[1, 2], r[2, 2]), np.arcsin(np.clip(r[0, 2], -1, 1)), np.arctan2(-r[0, 1], r[0, 0])]
        )


def quaternion_of(rotation: Array) -> Array:
    """Convert a rotation matrix to a quaternion.

    Args:
        rotation: (3, 3).

    Returns:
        (4,) unit quaternion x, y, z, w with w >= 0.
    """
    turn = np.asarray(cv2.Rodrigues(rotation)[0], np.float64).ravel()
    angle = float(np.linalg.norm(turn))
    return np.append(turn * (np.sinc(angle / 2 / np.pi) / 2), np.cos(angle / 2))


def camera_matrix(width: int, height: int, focal_px: float | None = None) -> Array:
    """Make the matrix of a camera without distortion whose principal point is the middle of the picture.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        focal_px: focal length in pixels. Default: the longer side of the picture, which is a field of view of 53
            degrees along that side, as many webcams have.

    Returns:
        (3, 3) camera matrix.

    Raises:
        TrackerError: a size or the focal length is not above 0, or too large.
    """
    focal = max(width, height) if focal_px is None else focal_px
    if not all(0 < each <= _LARGEST_CAMERA_PX for each in (width, height, focal)):
        raise TrackerError(
            f"camera_matrix: expected width, height and focal length above 0 and up to {_LARGEST_CAMERA_PX:g} pixels, "
            f"got {width}, {height} and {focal}"
        )
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float64)


def head_pose(landmarks: Landmarks, camera: Array) -> HeadPose | None:
    """Compute the head pose of a face by SQPnP, refined by Levenberg-Marquardt.

    Source: Terzakis & Lourakis, ECCV 2020.

    Args:
        landmarks: 68 landmarks (ibug68), in pixels of the picture.
        camera: (3, 3) from camera_matrix or from a calibration, for the same pixels.

    Returns:
        The pose; None if there is none, because the points lie on a line or do not look like a face.

    Raises:
        TrackerError: the landmarks have another scheme, or camera is not a camera matrix.

    Example:
        >>> height, width = image_rgb.shape[:2]
        >>> pose = head_pose(face.landmarks, camera_matrix(width, height))
        >>> math.degrees(pose.yaw_rad)
    """
    if landmarks.scheme is not IBUG68 or np.shape(camera) != (3, 3):
        raise TrackerError(
            f"head_pose: expected landmarks of {IBUG68.name} and a camera matrix (3, 3), "
            f"got {landmarks.scheme.name} and {np.shape(camera)}; tracker.convert and tracker.camera_matrix make them"
        )
    if not _is_camera(np.asarray(camera)):
        raise TrackerError(
            "head_pose: expected a camera matrix of real numbers with focal lengths above 0; "
            "tracker.camera_matrix makes it"
        )
    pose = nearest_pose(landmarks.points_px, np.asarray(camera, np.float64))
    return pose if pose is not None and pose.error_mm <= WORST_MM else None


def nearest_pose(points_px: Array, camera: Array, used: Sequence[int] = RIGID) -> HeadPose | None:
    """Compute the head pose that fits best, however large its error is.

    Args:
        points_px: (68, 2) landmarks in pixels.
        camera: (3, 3) camera matrix for the same pixels.
        used: indices of the points that the pose is computed from.

    Returns:
        The pose; None if there is none, or if it lies behind the camera.
    """
    head, seen = mean_head_mm()[list(used)], np.ascontiguousarray(points_px[list(used)])
    try:
        found, turn, shift = cv2.solvePnP(head, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        turn, shift = cv2.solvePnPRefineLM(head, seen, camera, None, turn, shift)
    except cv2.error:  # there is no pose for these points
        return None
    if not found or not np.isfinite([turn, shift]).all():
        return None
    rotation, translation_mm = np.asarray(cv2.Rodrigues(turn)[0], np.float64), np.asarray(shift, np.float64).ravel()
    depths_mm = head @ rotation[2] + translation_mm[2]
    if min(*depths_mm, translation_mm[2]) <= 0:  # behind the camera, at least in part
        return None
    errors_px = cv2.projectPoints(head, turn, shift, camera, None)[0][:, 0] - seen
    error_mm = np.sqrt(np.square(errors_px * depths_mm[:, None] / camera[0, 0]).sum(1).mean())
    return HeadPose(rotation, translation_mm, float(error_mm))


def _is_camera(camera: Array) -> bool:
    if camera.dtype.kind not in "iuf" or not (np.abs(camera) <= _LARGEST_CAMERA_PX).all():
        return False
    return bool(camera[0, 0] > 0 and camera[1, 1] > 0)


@cache
def mean_head_mm() -> Array:
    """Return the landmarks (68, 3) of the mean head in its own frame, in millimetres; read-only."""
    head = np.loadtxt(Path(__file__).with_name("head68_mm.csv"), delimiter=",", comments="#")
    head.setflags(write=False)
    return head
