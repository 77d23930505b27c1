"""Faces as OpenSeeFace sends them, for VSeeFace, VTube Studio and other receivers of its packets."""

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
"""One face, 1,785 bytes, little-endian, without gaps. Its fields are in docs/guides/avatars.md."""

MOST_FACES = 36
"""In one datagram: UDP carries 65,507 bytes."""

UNIT_MM = 143.5
"""OpenSeeFace's unit of length: its outer eye corners are 0.6318 apart, the mean head's 90.66 mm."""

NOSE_TIP = 30
_EYES = ((36, 39), (42, 45))  # the corners of the right and the left one
_BEHIND = 0.385  # an eyeball's centre lies so much of the eye's width behind its corners
_NO_POSE = (0, 99999.0, *[0.0] * 10)
# Its camera counts rows before columns, and its solver ends at a negative depth (in each of 76 faces it was run on),
# where near and far are swapped: so turns and places differ in the signs of their axes.
_AXES = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
_PLACES = np.array([[0, -1, 0], [-1, 0, 0], [0, 0, -1]])

# Its 14 features in their order, of our motion; -1: the other way round.
_FEATURES = (
    *(("eye_left", 1), ("eye_right", 1)),
    *(("brow_steepness_left", 1), ("brow_height_left", 1), ("brow_bend_left", 1)),
    *(("brow_steepness_right", 1), ("brow_height_right", 1), ("brow_bend_right", 1)),
    *(("corner_up_left", -1), ("corner_out_left", 1), ("corner_up_right", -1), ("corner_out_right", 1)),
    *(("mouth_open", 1), ("mouth_width", 1)),
)


class OpenSeeFacePackets(Closing):
    """Sends every face that is measured as a packet of OpenSeeFace, all of a frame in one datagram.

    docs/guides/avatars.md has the layout, the axes and the signs. A frame without a measured face sends nothing, as
    there. There are no pupils here: points 66 and 67 are the middles of the eyes with confidence 0, and in three
    dimensions the gaze is straight ahead.

    addresses: HOST:PORT of one receiver or several; they listen on port 11573. start_s: added to each frame's time;
    receivers leave out what is older than what they have, so it must grow from run to run. Now if None.
    faces: shared with other sinks, so that each face is measured once.
    Raises TrackerError for an address that is none or unknown.
    Source: emilianavt/OpenSeeFace, facetracker.py and Unity/OpenSee.cs.
    """

    def __init__(
        self, addresses: str | Sequence[str], start_s: float | None = None, faces: AvatarFaces | None = None
    ) -> None:
        self._start_s = time.time() if start_s is None else start_s
        self._faces = faces or AvatarFaces()
        self._targets = UdpTargets("OpenSeeFace", addresses)

    def write(self, frame: Frame, result: FrameResult) -> None:
        time_s = self._start_s + result.timestamp_s
        packets = [PACKET.pack(time_s, *_fields(face)) for face in self._faces.step(frame, result)]
        for first in range(0, len(packets), MOST_FACES):
            self._targets.send(b"".join(packets[first : first + MOST_FACES]))

    def close(self) -> None:
        self._targets.close()


def _fields(face: AvatarFace) -> Iterator[float]:
    """What PACKET holds after the time."""
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
    """1, the error in pixels, the quaternion, the angles in degrees and the place of the nose's tip."""
    rotation = _AXES @ pose.rotation
    quaternion = quaternion_of(rotation) * [-1, -1, -1, 1]  # it sends that of the inverse turn
    tip_mm = pose.rotation @ mean_head_mm()[NOSE_TIP] + pose.translation_mm
    yield from (1, pose.error_mm * camera[0, 0] / pose.translation_mm[2])
    yield from quaternion * (1 if quaternion[0] >= 0 else -1)  # no jump of signs while the head is upright
    turned = HeadPose(rotation, tip_mm, 0.0)  # the angles that OpenCV's RQDecomp3x3 gives: Rz @ Ry @ Rx
    yield from np.degrees([turned.pitch_rad, turned.yaw_rad, turned.roll_rad])
    yield from _PLACES @ tip_mm / UNIT_MM


def _points_3d(points_px: Array, pose: HeadPose, camera: Array) -> Array:
    """(70, 3) x to the subject's right, y down, z backwards, from the nose's tip of the mean head, in its unit."""
    points = (head_points_mm(points_px, pose, camera) - mean_head_mm()[NOSE_TIP]) * [-1, 1, 1] / UNIT_MM
    corners = points[np.array(_EYES)]
    pupils = corners.mean(1)
    depths = _BEHIND * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    return np.vstack([points[order_of("openseeface")], pupils, pupils + depths[:, None] * [0, 0, 1]])


def _middles(points_px: Array) -> Array:
    """(2, 2) of the right and the left eye."""
    return np.stack([points_px[list(eye)].mean(0) for eye in IBUG68.pupil])
