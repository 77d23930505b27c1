"""Sends faces in OpenSeeFace's packets, to VSeeFace, VTube Studio and other receivers."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence

import numpy as np

from tracker.analysis.face_shape import head_points_mm
from tracker.analysis.head_pose import HeadPose, mean_head_mm, quaternion_of
from tracker.face.geometry import Array
from tracker.face.other_programs import order_of
from tracker.face.schemes import IBUG68
from tracker.result import FrameResult
from tracker.sinks.avatar_faces import AvatarFace, AvatarFaces
from tracker.sinks.base import Closing
from tracker.sinks.udp import UdpTargets
from tracker.sources import Frame

PACKET = struct.Struct("<d i 2f 2f B f 4f 3f 3f 68f 136f 210f 14f")
"""One face: 1,785 bytes, little-endian, without padding. docs/guides/avatars.md lists the fields."""

MOST_FACES = 36
"""Faces in one datagram, which UDP limits to 65,507 bytes."""

UNIT_MM = 143.5
"""OpenSeeFace's unit of length: its outer eye corners are 0.6318 apart, the mean head's 90.66 mm."""

NOSE_TIP = 30
_EYES = ((36, 39), (42, 45))  # the corners of the right and the left eye
_BEHIND = 0.385  # distance of an eyeball's centre behind the eye corners, as a multiple of the eye's width
_NO_POSE = (0, 99999.0, *[0.0] * 10)
# OpenSeeFace swaps rows and columns of its camera, and its solver ends at a negative depth (on each of 76 faces), where
# near and far are swapped. So rotations and translations have different signs of the axes.
_AXES = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
_PLACES = np.array([[0, -1, 0], [-1, 0, 0], [0, 0, -1]])

# OpenSeeFace's 14 features in their order, by the names of FaceMotion, with the sign of each.
_FEATURES = (
    *(("eye_left", 1), ("eye_right", 1)),
    *(("brow_steepness_left", 1), ("brow_height_left", 1), ("brow_bend_left", 1)),
    *(("brow_steepness_right", 1), ("brow_height_right", 1), ("brow_bend_right", 1)),
    *(("corner_up_left", -1), ("corner_out_left", 1), ("corner_up_right", -1), ("corner_out_right", 1)),
    *(("mouth_open", 1), ("mouth_width", 1)),
)


class OpenSeeFacePackets(Closing):
    """Sends each measured face as a packet of OpenSeeFace, all faces of a frame in one datagram.

    docs/guides/avatars.md has the layout, the axes and the signs. For a frame without a measured face nothing is sent,
    as in OpenSeeFace. Pupils are not measured here: points 66 and 67 are the middles of the eyes with confidence 0, and
    in three dimensions the gaze is straight ahead.

    Source: emilianavt/OpenSeeFace, facetracker.py and Unity/OpenSee.cs.

    Args:
        addresses: HOST:PORT of one receiver or several; receivers listen on port 11573.
        start_s: added to the time of each frame, in seconds. Receivers ignore packets that are older than the last one,
            so it must increase from run to run. Default: the current time.
        faces: shared with other sinks, so that each face is computed once.

    Raises:
        TrackerError: an address is invalid or its host unknown.
    """

    def __init__(
        self, addresses: str | Sequence[str], start_s: float | None = None, faces: AvatarFaces | None = None
    ) -> None:
        self._start_s = time.time() if start_s is None else start_s
        self._faces = faces or AvatarFaces()
        self._targets = UdpTargets("OpenSeeFace", addresses)

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Send the measured faces of a frame, see Sink.write; what cannot be sent is dropped, see UdpTarget."""
        time_s = self._start_s + result.timestamp_s
        packets = [PACKET.pack(time_s, *_fields(face)) for face in self._faces.step(frame, result)]
        for first in range(0, len(packets), MOST_FACES):
            self._targets.send(b"".join(packets[first : first + MOST_FACES]))

    def close(self) -> None:
        """Close the sockets."""
        self._targets.close()


def _fields(face: AvatarFace) -> Iterator[float]:
    """Yield the fields of PACKET after the time."""
    motion, points_px, order = face.motion or {}, face.landmarks.points_px, order_of("openseeface")
    yield face.slot
    yield from face.size
    yield from (1 + min(motion.get(name, 0.0), 0.0) for name in ("eye_right", "eye_left"))
    yield from _NO_POSE if face.pose is None else _pose(face.pose, face.camera)
    points_3d = np.zeros((70, 3)) if face.pose is None else _points_3d(points_px, face.pose, face.camera)
    yield from (*face.landmarks.scores[order].tolist(), 0.0, 0.0)
    yield from np.vstack([points_px[order], _middles(points_px)]).ravel().tolist()
    yield from points_3d.ravel().tolist()
    yield from (sign * motion.get(name, 0.0) for name, sign in _FEATURES)


def _pose(pose: HeadPose, camera: Array) -> Iterator[float]:
    """Yield 1, the error in pixels, the quaternion, the angles in degrees and the position of the tip of the nose."""
    rotation = _AXES @ pose.rotation
    quaternion = quaternion_of(rotation) * [-1, -1, -1, 1]  # OpenSeeFace sends that of the inverse rotation
    tip_mm = pose.rotation @ mean_head_mm()[NOSE_TIP] + pose.translation_mm
    yield from (1, pose.error_mm * camera[0, 0] / pose.translation_mm[2])
    yield from quaternion * (1 if quaternion[0] >= 0 else -1)  # so that signs do not jump while the head is upright
    turned = HeadPose(rotation, tip_mm, 0.0)  # the angles that OpenCV's RQDecomp3x3 gives: Rz @ Ry @ Rx
    yield from np.degrees([turned.pitch_rad, turned.yaw_rad, turned.roll_rad])
    yield from _PLACES @ tip_mm / UNIT_MM


def _points_3d(points_px: Array, pose: HeadPose, camera: Array) -> Array:
    """Compute (70, 3) points in UNIT_MM from the mean head's nose tip: x to the subject's right, y down, z back."""
    points = (head_points_mm(points_px, pose, camera) - mean_head_mm()[NOSE_TIP]) * [-1, 1, 1] / UNIT_MM
    corners = points[np.array(_EYES)]
    pupils = corners.mean(1)
    depths = _BEHIND * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    return np.vstack([points[order_of("openseeface")], pupils, pupils + depths[:, None] * [0, 0, 1]])


def _middles(points_px: Array) -> Array:
    """Return the middles (2, 2) of the right and the left eye."""
    return np.stack([points_px[list(eye)].mean(0) for eye in IBUG68.pupil])
