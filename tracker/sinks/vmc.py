"""Blend shapes and the head bone as the Virtual Motion Capture protocol has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tracker.analysis.blendshapes import blendshapes
from tracker.analysis.head_pose import HeadPose, quaternion_of
from tracker.result import FrameResult
from tracker.sinks.avatar_faces import AvatarFaces
from tracker.sinks.base import Closing
from tracker.sinks.osc import OscBuilder
from tracker.sinks.udp import UdpTargets
from tracker.sources import Frame

Shapes = Literal["arkit", "vrm"]

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
    presets Blink_L, Blink_R, A, O and U that every VRM model has. faces: shared with other
    sinks, so that each face is measured once. Raises TrackerError for an address that is none or
    unknown, and when python-osc is missing.
    Source: protocol.vmc.info, marionette-spec.
    """

    def __init__(
        self, addresses: str | Sequence[str], shapes: Shapes = "arkit", faces: AvatarFaces | None = None
    ) -> None:
        self._osc = OscBuilder("VMC")
        self._shapes = shapes
        self._faces = faces or AvatarFaces()
        self._targets = UdpTargets("VMC", addresses)

    def write(self, frame: Frame, result: FrameResult) -> None:
        faces = [face for face in self._faces.step(frame, result) if face.main and face.pose is not None]
        messages = [
            self._osc.message("/VMC/Ext/OK", "iiii", [1, 3, 0, len(faces)]),
            self._osc.message("/VMC/Ext/T", "f", [result.timestamp_s]),
        ]
        for face in faces:
            if face.pose is not None and face.motion is not None:
                messages += [self._bone(face.pose), *self._blend(blendshapes(face.motion))]
        for bundle in self._osc.bundles(messages, MOST_BYTES):
            self._targets.send(bundle)

    def close(self) -> None:
        self._targets.close()

    def _bone(self, pose: HeadPose) -> Any:
        # Unity's axes are the head's turned round, all three: the matrix is the same in both
        values = ["Head", 0.0, 0.0, 0.0, *quaternion_of(pose.rotation).tolist()]
        return self._osc.message("/VMC/Ext/Bone/Pos", "sfffffff", values)

    def _blend(self, channels: Mapping[str, float]) -> Iterator[Any]:
        for name, value in self._named(channels).items():
            yield self._osc.message("/VMC/Ext/Blend/Val", "sf", [name, value])
        yield self._osc.message("/VMC/Ext/Blend/Apply", "", [])

    def _named(self, channels: Mapping[str, float]) -> dict[str, float]:
        if self._shapes == "vrm":
            return {name: channels[channel] for name, channel in _VRM.items()}
        return {f"{name[0].upper()}{name[1:]}": value for name, value in channels.items()}
