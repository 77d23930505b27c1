"""Sends the head pose to opentrack's input "UDP over network"."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from tracker.analysis.head_pose import HeadPose
from tracker.result import FrameResult
from tracker.sinks.avatar_faces import AvatarFaces
from tracker.sinks.base import Closing
from tracker.sinks.udp import UdpTargets
from tracker.sources import Frame

_PACKET = struct.Struct("<6d")


class OpenTrackPose(Closing):
    """Sends the head pose of one face: a datagram of 48 bytes for each frame, six little-endian doubles.

    | field | meaning |
    | --- | --- |
    | TX, TY, TZ | centimetres from the camera: to the right of the picture, up, away from the camera |
    | Yaw | degrees; above 0 the head turns to the left of the picture (the subject's right) |
    | Pitch | degrees; above 0 the head looks up |
    | Roll | degrees; above 0 the head tilts clockwise on the screen |

    The head is rotated by yaw first, then by pitch about its own side axis, then by roll about its own front axis, as
    in opentrack's own camera tracker (neuralnet). If there are several faces, the main one is sent, see AvatarFace.
    While no face is measured, nothing is sent and opentrack keeps the last pose.

    Source: opentrack/opentrack, tracker-udp and tracker-neuralnet.

    Args:
        addresses: HOST:PORT of one receiver or several; opentrack listens on port 4242.
        faces: shared with other sinks, so that each face is computed once.

    Raises:
        TrackerError: an address is invalid or its host unknown.
    """

    def __init__(self, addresses: str | Sequence[str], faces: AvatarFaces | None = None) -> None:
        self._faces = faces or AvatarFaces()
        self._targets = UdpTargets("opentrack", addresses)

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Send the pose of the main face, see Sink.write; what cannot be sent is dropped, see UdpTarget."""
        for face in self._faces.step(frame, result):
            if face.main and face.pose is not None:
                self._targets.send(_PACKET.pack(*opentrack_values(face.pose)))

    def close(self) -> None:
        """Close the sockets."""
        self._targets.close()


def opentrack_values(pose: HeadPose) -> list[float]:
    """Convert a head pose to opentrack's values.

    Args:
        pose: the head pose.

    Returns:
        TX, TY, TZ in centimetres, then Yaw, Pitch, Roll in degrees, see OpenTrackPose.
    """
    r = pose.rotation
    x, y, z = pose.translation_mm / 10
    yaw = np.arctan2(r[0, 2], r[2, 2])
    pitch = np.arctan2(r[1, 2], np.hypot(r[0, 2], r[2, 2]))
    roll = np.arctan2(r[1, 0], r[1, 1])
    return [x, -y, z, *np.degrees([yaw, pitch, roll]).tolist()]
