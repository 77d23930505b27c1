"""Sends blend shapes and the head bone by the Virtual Motion Capture (VMC) protocol."""

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
"""Size of a bundle: with the headers of UDP and IP it has the 1,500 bytes that the protocol asks for."""

# The preset names of VRM 0, which models without ARKit's channels have, and the channel that moves each.
_VRM = {
    "Blink_L": "eyeBlinkLeft",
    "Blink_R": "eyeBlinkRight",
    "A": "jawOpen",
    "O": "mouthFunnel",
    "U": "mouthPucker",
}


class VmcMessages(Closing):
    """Sends one face as OSC bundles of VMC 3.1, in the role of a performer or an assistant.

    | address | arguments |
    | --- | --- |
    | /VMC/Ext/OK | i 1, i 3, i 0, i whether a face was measured in this frame |
    | /VMC/Ext/T | f seconds since the first frame |
    | /VMC/Ext/Bone/Pos | s Head, f 0 0 0, f x y z w: the head's rotation as a quaternion in Unity's axes |
    | /VMC/Ext/Blend/Val | s channel, f 0 to 1; one message for each channel that is observed or weak |
    | /VMC/Ext/Blend/Apply | none |

    The last three are sent only while a face is measured. Unity's axes are left-handed: x to the avatar's right, y up,
    z forward. The rotation is that of the person, not mirrored. The position 0 0 0 is not measured: switch off the
    positions of bones in the receiver. If there are several faces, the main one is sent, see AvatarFace.

    Source: protocol.vmc.info, marionette-spec.

    Args:
        addresses: HOST:PORT of one receiver or several. Receivers listen on port 39539, or on 39540 if they forward
            what they receive.
        shapes: "arkit" for ARKit's names in the spelling of models with Perfect Sync, such as EyeBlinkLeft; "vrm" for
            the presets Blink_L, Blink_R, A, O and U, which every VRM model has.
        faces: shared with other sinks, so that each face is computed once.

    Raises:
        TrackerError: an address is invalid or its host unknown, or python-osc is not installed.
    """

    def __init__(
        self, addresses: str | Sequence[str], shapes: Shapes = "arkit", faces: AvatarFaces | None = None
    ) -> None:
        self._osc = OscBuilder("VMC")
        # The message of each channel without its value, which is the last four bytes
        self._channels = {
            channel: self._osc.message("/VMC/Ext/Blend/Val", "sf", [name, 0.0])[: -_VALUE.size]
            for name, channel in _names(shapes).items()
        }
        self._apply = self._osc.message("/VMC/Ext/Blend/Apply", "", [])
        self._faces = faces or AvatarFaces()
        self._targets = UdpTargets("VMC", addresses)

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Send the main face of a frame, see Sink.write; what cannot be sent is dropped, see UdpTarget."""
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
        """Close the sockets."""
        self._targets.close()

    def _bone(self, pose: HeadPose) -> bytes:
        # Unity's axes point opposite to the head's, all three, so the rotation matrix is the same
        values = ["Head", 0.0, 0.0, 0.0, *quaternion_of(pose.rotation).tolist()]
        return self._osc.message("/VMC/Ext/Bone/Pos", "sfffffff", values)

    def _blend(self, motion: Mapping[str, float]) -> Iterator[bytes]:
        values = blendshapes(motion)
        return (head + _VALUE.pack(values[channel]) for channel, head in self._channels.items())


def _names(shapes: Shapes) -> Mapping[str, str]:
    """Return the names that are sent, with the channel of each."""
    if shapes == "vrm":
        return _VRM
    seen = (channel for channel, flag in CHANNELS.items() if flag != "none")
    return {channel[0].upper() + channel[1:]: channel for channel in seen}
