"""Blend shapes and the head bone as the Virtual Motion Capture protocol has them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from tracker.analysis.blendshapes import CHANNELS, blendshapes
from tracker.analysis.head_pose import HeadPose, quaternion_of
from tracker.result import FrameResult
from tracker.sinks.avatar_faces import AvatarFaces
from tracker.sinks.base import Closing
from tracker.sinks.osc import OscBuilder
from tracker.sinks.udp import UdpTargets
from tracker.sources import Frame

Shapes = Literal["arkit", "vrm"]

_VALUE = struct.Struct(">f")

MOST_BYTES = 1472
"""A bundle with UDP's and IP's heads in the 1,500 bytes that the protocol asks for."""

# What a model without ARKit's channels has, of VRM 0's preset names, and the channel that moves it.
_VRM = {
    "Blink_L": "eyeBlinkLeft",
    "Blink_R": "eyeBlinkRight",
    "A": "jawOpen",
    "O": "mouthFunnel",
    "U": "mouthPucker",
}


class VmcMessages(Closing):
    """Sends one face as OSC bundles of VMC 3.1: what a performer or an assistant sends.

    | address | arguments |
    | --- | --- |
    | /VMC/Ext/OK | i 1, i 3, i 0, i whether a face was measured in this frame |
    | /VMC/Ext/T | f seconds since the first frame |
    | /VMC/Ext/Bone/Pos | s Head, f 0 0 0, f x y z w: the head's turn as a quaternion in Unity's axes |
    | /VMC/Ext/Blend/Val | s channel, f 0..1; one message for each channel that is observed or weak |
    | /VMC/Ext/Blend/Apply | nothing |

    The last three only while a face is measured. Unity's axes are left-handed: x to the avatar's right, y up, z
    forward. The head's turn is that of the person: nothing is mirrored. The place 0 0 0 is not measured: receivers that
    apply places of bones must have that switched off. Of several faces the main one is sent, see AvatarFace.

    addresses: HOST:PORT of one receiver or several; they listen on port 39539, and on 39540 where they pass on what
    they get. shapes: "arkit" sends ARKit's names as models with Perfect Sync have them, such as EyeBlinkLeft; "vrm" the
    presets Blink_L, Blink_R, A, O and U that every VRM model has. faces: shared with other sinks, so that each face is
    measured once. Raises TrackerError for an address that is none or unknown, and when python-osc is missing.
    Source: protocol.vmc.info, marionette-spec.
    """

    def __init__(
        self, addresses: str | Sequence[str], shapes: Shapes = "arkit", faces: AvatarFaces | None = None
    ) -> None:
        self._osc = OscBuilder("VMC")
        # A channel's message but for its value, which is the last four bytes
        self._channels = {
            channel: self._osc.message("/VMC/Ext/Blend/Val", "sf", [name, 0.0])[: -_VALUE.size]
            for name, channel in _names(shapes).items()
        }
        self._apply = self._osc.message("/VMC/Ext/Blend/Apply", "", [])
        self._faces = faces or AvatarFaces()
        self._targets = UdpTargets("VMC", addresses)

    def write(self, frame: Frame, result: FrameResult) -> None:
        face = next((face for face in self._faces.step(frame, result) if face.main), None)
        content: list[bytes] = []
        if face is not None and face.pose is not None and face.motion is not None:
            content = [self._bone(face.pose), *self._blend(face.motion), self._apply]
        messages = [
            self._osc.message("/VMC/Ext/OK", "iiii", [1, 3, 0, int(bool(content))]),
            self._osc.message("/VMC/Ext/T", "f", [result.timestamp_s]),
            *content,
        ]
        for bundle in self._osc.bundles(messages, MOST_BYTES):
            self._targets.send(bundle)

    def close(self) -> None:
        self._targets.close()

    def _bone(self, pose: HeadPose) -> bytes:
        # Unity's axes are the head's turned round, all three: the matrix is the same in both
        values = ["Head", 0.0, 0.0, 0.0, *quaternion_of(pose.rotation).tolist()]
        return self._osc.message("/VMC/Ext/Bone/Pos", "sfffffff", values)

    def _blend(self, motion: Mapping[str, float]) -> Iterator[bytes]:
        values = blendshapes(motion)
        return (head + _VALUE.pack(values[channel]) for channel, head in self._channels.items())


def _names(shapes: Shapes) -> Mapping[str, str]:
    """The channel of each name that is sent."""
    if shapes == "vrm":
        return _VRM
    seen = (channel for channel, flag in CHANNELS.items() if flag != "none")
    return {channel[0].upper() + channel[1:]: channel for channel in seen}
