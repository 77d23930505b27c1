"""What receivers read: written from the sources of the receivers, before the senders, and sharing nothing with them.

OpenSeeFace: Unity/OpenSee.cs and facetracker.py of emilianavt/OpenSeeFace at dee5bb7. OSC 1.0: its specification. VMC:
its specification, version 3.1. opentrack: tracker-udp/ftnoir_tracker_udp.cpp of opentrack/opentrack at f009bb5.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

OPENSEEFACE_BYTES = 8 + 4 + 2 * 4 + 2 * 4 + 1 + 4 + 4 * 4 + 3 * 4 + 3 * 4 + 68 * 4 + 68 * 8 + 70 * 12 + 14 * 4
FEATURES = tuple(
    f"{name}{side}" for name, side in (
        ("Eye", "Left"), ("Eye", "Right"),
        ("EyebrowSteepness", "Left"), ("EyebrowUpDown", "Left"), ("EyebrowQuirk", "Left"),
        ("EyebrowSteepness", "Right"), ("EyebrowUpDown", "Right"), ("EyebrowQuirk", "Right"),
        ("MouthCornerUpDown", "Left"), ("MouthCornerInOut", "Left"),
        ("MouthCornerUpDown", "Right"), ("MouthCornerInOut", "Right"), ("MouthOpen", ""), ("MouthWide", ""),
    )
)  # fmt: skip


class _Bytes:
    def __init__(self, content: bytes, order: str) -> None:
        self.content, self.order, self.at = content, order, 0

    def take(self, kind: str, count: int = 1) -> tuple[Any, ...]:
        """Fields one after the other, without gaps."""
        form = f"{self.order}{count}{kind}"
        values = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return values


def read_openseeface(datagram: bytes) -> list[dict[str, Any]]:
    """The faces of a datagram, fields as they stand there. A receiver leaves out datagrams of another length."""
    if not datagram or len(datagram) % OPENSEEFACE_BYTES:
        raise ValueError(f"{len(datagram)} bytes are no multiple of {OPENSEEFACE_BYTES}")
    faces = []
    for start in range(0, len(datagram), OPENSEEFACE_BYTES):
        data = _Bytes(datagram[start : start + OPENSEEFACE_BYTES], "<")
        face: dict[str, Any] = {"time": data.take("d")[0], "id": data.take("i")[0], "resolution": data.take("f", 2)}
        face["right_eye_open"], face["left_eye_open"] = data.take("f", 2)
        face["got_3d_points"] = data.take("B")[0] != 0
        face["fit_3d_error"] = data.take("f")[0]
        face["raw_quaternion"] = np.array(data.take("f", 4))  # x y z w
        face["raw_euler"] = np.array(data.take("f", 3))
        face["translation"] = np.array(data.take("f", 3))
        face["confidence"] = np.array(data.take("f", 68))
        face["points"] = np.array(data.take("f", 136)).reshape(68, 2)  # x y
        face["points_3d"] = np.array(data.take("f", 210)).reshape(70, 3)
        face["features"] = dict(zip(FEATURES, data.take("f", 14)))
        assert data.at == OPENSEEFACE_BYTES
        faces.append(face)
    return faces


def unity_head(face: dict[str, Any]) -> tuple[Array, Array]:
    """(3, 3) and (3,): how the Unity component OpenSeeShowPoints turns and places the head.

    Unity's axes, left-handed: x to the picture's left, y up, z towards the camera. The head's front is -z of its own
    axes, as its points 3D have it.
    """
    x, y, z, w = face["raw_quaternion"]
    offset = np.array([0, 0, np.sin(np.radians(-45)), np.cos(np.radians(-45))])  # Quaternion.Euler(0, 0, -90)
    turn = matrix_of(multiplied(np.array([-y, -x, z, w]), offset))
    first, second, third = face["translation"]
    return turn, np.array([second, first, third])


def multiplied(a: Array, b: Array) -> Array:
    """The product of two quaternions x, y, z, w."""
    v, w = a[:3], a[3]
    return np.append(w * b[:3] + b[3] * v + np.cross(v, b[:3]), w * b[3] - v @ b[:3])


def matrix_of(quaternion: Array) -> Array:
    """(3, 3) of x, y, z, w: column k is where axis k goes, as Unity's Quaternion * Vector3."""
    return np.stack([_turned(quaternion, axis) for axis in np.eye(3)], 1)


def _turned(quaternion: Array, vector: Array) -> Array:
    inverse = quaternion * [-1, -1, -1, 1]
    return multiplied(multiplied(quaternion, np.append(vector, 0)), inverse)[:3] / (quaternion @ quaternion)


def read_opentrack(datagram: bytes) -> dict[str, float]:
    """Six doubles. The receiver reads 48 bytes into an array of its own and refuses what is not finite."""
    values = struct.unpack("<6d", datagram[:48])
    if len(datagram) < 48 or not np.isfinite(values).all():
        raise ValueError(f"{len(datagram)} bytes, {values}")
    return dict(zip(("TX", "TY", "TZ", "Yaw", "Pitch", "Roll"), values))


def read_osc(datagram: bytes) -> list[tuple[str, list[Any]]]:
    """The messages of an OSC 1.0 packet, bundles opened: big-endian, everything in steps of four bytes."""
    if not datagram.startswith(b"#bundle\0"):
        return [_read_message(datagram)]
    data, messages = _Bytes(datagram, ">"), []
    data.at = 16
    while data.at < len(datagram):
        (size,) = data.take("i")
        messages += read_osc(datagram[data.at : data.at + size])
        data.at += size
    assert data.at == len(datagram)
    return messages


def _read_message(content: bytes) -> tuple[str, list[Any]]:
    data = _Bytes(content, ">")
    address, types = _read_text(data), _read_text(data)
    assert address.startswith("/") and types.startswith(",")
    values = [_read_text(data) if kind == "s" else data.take(kind)[0] for kind in types[1:]]
    assert data.at == len(content)
    return address, values


def _read_text(data: _Bytes) -> str:
    end = data.content.index(b"\0", data.at)
    text = data.content[data.at : end].decode()
    data.at += (end - data.at) // 4 * 4 + 4  # at least one zero, up to a multiple of four
    return text
