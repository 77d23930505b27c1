"""Where a head is and where it looks: the pose that puts a mean head's landmarks where a face's are.

Frame: the camera's, x to the picture's right, y down, z away from the camera, millimetres, origin in its centre of
projection. The head's own frame has the same directions when the head looks straight into the camera, and its
origin midway between the eyes. Angles are radians.

    rotation = Rz(roll) @ Ry(yaw) @ Rx(pitch)        camera_point = rotation @ head_point + translation_mm

pitch > 0: the head looks down. yaw > 0: it turns to the picture's left. roll > 0: it tilts clockwise on the screen.
Pitch is 0 where the neutral head of ICT-FaceKit looks straight ahead; its chin (point 8) is then 3 mm farther away than
the root of its nose (27).

The mean head, head68_mm.csv, is that head; tools/mean_head.py makes it. Nobody's head is the mean, so the angles of
one person have a constant offset of some degrees: 102 people who look straight into the camera (Face Research Lab
London Set, points by hand) have a pitch of -0.3 in the mean, with a standard deviation of 3.6. Distance is as true as
that person's pupils are 63 mm apart (Dodgson 2004) and the focal length is. benchmarks/pose.md has the errors.
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
"""The points that the pose is solved on: nose and corners of the eyes. Brows, lids, lips and jaw move by themselves."""

_LARGEST_CAMERA_PX = 1e9
WORST_MM = 10.0
"""A pose with a larger error_mm is none. Between the largest of labelled faces and the least of shuffled points: fitted
by tools/pose_limit.py."""


@dataclass(frozen=True, eq=False)
class HeadPose:
    """The pose of one head, in the frame that this module's first lines state.

    rotation: (3, 3). translation_mm: (3,) of the point midway between the eyes. error_mm: how far the points that
    were used lie from the mean head's, root mean square, each at its distance; about 2 for a face seen well.
    """

    rotation: Array
    translation_mm: Array
    error_mm: float

    @property
    def pitch_rad(self) -> float:
        """-pi .. pi."""
        return float(np.arctan2(self.rotation[2, 1], self.rotation[2, 2]))

    @property
    def yaw_rad(self) -> float:
        """-pi/2 .. pi/2."""
        return float(np.arcsin(np.clip(-self.rotation[2, 0], -1, 1)))

    @property
    def roll_rad(self) -> float:
        """-pi .. pi. Turning the picture about its middle adds to it exactly and changes no other angle."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    @property
    def rotation_vector(self) -> Array:
        """(3,) axis times angle, as OpenCV's Rodrigues has it."""
        return np.asarray(cv2.Rodrigues(self.rotation)[0], np.float64).ravel()

    @property
    def openface_rad(self) -> Array:
        """(3,) pose_Rx, pose_Ry, pose_Rz as OpenFace writes them: the same rotation as Rx @ Ry @ Rz."""
        r = self.rotation
        return np.array(
            [np.arctan2(-r[1, 2], r[2, 2]), np.arcsin(np.clip(r[0, 2], -1, 1)), np.arctan2(-r[0, 1], r[0, 0])]
        )


def quaternion_of(rotation: Array) -> Array:
    """(4,) the unit quaternion x, y, z, w of a rotation matrix (3, 3); w is not below 0."""
    turn = np.asarray(cv2.Rodrigues(rotation)[0], np.float64).ravel()
    angle = float(np.linalg.norm(turn))
    return np.append(turn * (np.sinc(angle / 2 / np.pi) / 2), np.cos(angle / 2))


def camera_matrix(width: int, height: int, focal_px: float | None = None) -> Array:
    """(3, 3) of a camera without distortion that looks at the picture's middle.

    focal_px: without it the picture's longer side, a view of 53 degrees along it, as of many webcams.
    Raises TrackerError for a size or a focal length that no camera has.
    """
    focal = max(width, height) if focal_px is None else focal_px
    if not all(0 < each <= _LARGEST_CAMERA_PX for each in (width, height, focal)):
        raise TrackerError(
            f"camera_matrix: expected width, height and focal length above 0 and up to {_LARGEST_CAMERA_PX:g} pixels, "
            f"got {width}, {height} and {focal}"
        )
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float64)


def head_pose(landmarks: Landmarks, camera: Array) -> HeadPose | None:
    """The pose of a face of 68 landmarks; None where they allow none: on one point or line, or no face at all.

    camera: (3, 3) as camera_matrix gives it or as calibrated, in the pixels of the landmarks.
    Raises TrackerError for another scheme or what is no camera's matrix. By SQPNP (Terzakis & Lourakis, ECCV
    2020), then Levenberg-Marquardt.
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
    """As head_pose, of points (68, 2), however far they are from any head; solved on the points named in used."""
    head, seen = mean_head_mm()[list(used)], np.ascontiguousarray(points_px[list(used)])
    try:
        found, turn, shift = cv2.solvePnP(head, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        turn, shift = cv2.solvePnPRefineLM(head, seen, camera, None, turn, shift)
    except cv2.error:  # points that allow none
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
    """(68, 3) the mean head, in its own frame."""
    head = np.loadtxt(Path(__file__).with_name("head68_mm.csv"), delimiter=",", comments="#")
    head.setflags(write=False)
    return head
