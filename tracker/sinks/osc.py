"""Results as Open Sound Control messages over UDP."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from tracker.errors import TrackerError
from tracker.result import FrameResult, TrackedFace
from tracker.sinks.base import Closing
from tracker.sinks.udp import UdpTarget
from tracker.sources import Frame
from tracker.system.extras import describe_missing

MOST_BYTES = 8192
"""The largest datagram: what python-osc's server reads at once; macOS sends 9216, UDP itself carries 65507."""

_BUNDLE = b"#bundle\0" + bytes(7) + b"\1"  # and the time "immediately"
_SIZE = struct.Struct(">i")  # before each message


class OscMessages(Closing):
    """Sends every frame as one bundle of OSC 1.0 to a host and port; only the types i, f and s are used.

    | address | arguments |
    | --- | --- |
    | /frame | i index from 0, f seconds since the first frame, i width, i height in pixels |
    | /faces | i ids of all faces in this frame; none: no face |
    | /face/ID/points | f x0 y0 x1 y1 ...: the smoothed landmarks in pixels, x right, y down, centres at integers |
    | /face/ID/scores | f of each landmark, 0..1 |
    | /face/ID/visibility | f of each landmark, 0..1, where the model tells it |
    | /face/ID/box | f x y width height of the landmarks' extent in pixels |
    | /face/ID/score | f 0..1, that this is a face |
    | /face/ID/state | s tracking or coasting (held over a short gap, not measured) |
    | /face/ID/lost | nothing; sent once, when the face is gone and when the run ends |

    Pixels as FaceOSC's /raw has them; divided by /frame's width and height they are in 0..1. The bundle's time is
    "immediately". A frame of more than MOST_BYTES goes in several bundles, each beginning with /frame. UDP does not
    say whether anybody listens: what is lost is lost, and a bundle that cannot be sent is dropped, with one warning.

    address: "HOST:PORT", as 127.0.0.1:9000 or [::1]:9000; a broadcast address will do. Raises TrackerError for an
    address that is none or unknown, and when python-osc is missing.
    Source: Wright, The Open Sound Control 1.0 Specification, 2002.
    """

    def __init__(self, address: str) -> None:
        self._osc = OscBuilder("OSC")
        self._target = UdpTarget("OSC", address)
        self._ids: set[int] = set()

    def write(self, frame: Frame, result: FrameResult) -> None:
        ids = {face.id for face in result.faces}
        height, width = frame.image_rgb.shape[:2]
        head = self._osc.message("/frame", "ifii", [result.index, result.timestamp_s, width, height])
        messages = [self._osc.message("/faces", "i" * len(ids), sorted(ids)), *self._lost(self._ids - ids)]
        for face in result.faces:
            messages += self._of_face(face)
        for bundle in self._osc.bundles(messages, MOST_BYTES, head):
            self._target.send(bundle)
        self._ids = ids

    def close(self) -> None:
        if self._ids:
            for bundle in self._osc.bundles(self._lost(self._ids), MOST_BYTES):
                self._target.send(bundle)
        self._ids = set()
        self._target.close()

    def _of_face(self, face: TrackedFace) -> Iterator[bytes]:
        points, scores = face.landmarks.points_px.ravel().tolist(), face.landmarks.scores.tolist()
        yield self._osc.message(f"/face/{face.id}/points", "f" * len(points), points)
        yield self._osc.message(f"/face/{face.id}/scores", "f" * len(scores), scores)
        if (visibility := face.landmarks.visibility) is not None:
            yield self._osc.message(f"/face/{face.id}/visibility", "f" * len(visibility), visibility.tolist())
        yield self._osc.message(f"/face/{face.id}/box", "ffff", face.box_px.tolist())
        yield self._osc.message(f"/face/{face.id}/score", "f", [face.score])
        yield self._osc.message(f"/face/{face.id}/state", "s", [face.state])

    def _lost(self, ids: Iterable[int]) -> list[bytes]:
        return [self._osc.message(f"/face/{number}/lost", "", []) for number in sorted(ids)]


class OscBuilder:
    """Builds messages of OSC 1.0 by python-osc, and bundles of them: its own bundles read each message again, which
    takes most of the time.

    protocol: who asks, for the sentence of the TrackerError that is raised when python-osc is missing.
    """

    def __init__(self, protocol: str) -> None:
        try:
            self._messages = import_module("pythonosc.osc_message_builder")
        except ImportError as error:
            raise TrackerError(f"{protocol} {describe_missing('python-osc', 'osc', error)}") from error

    def message(self, address: str, types: str, values: Iterable[Any]) -> bytes:
        """A message. types: a letter of OSC for each value, such as "sf"."""
        builder = self._messages.OscMessageBuilder(address)
        for kind, value in zip(types, values):
            builder.add_arg(value, kind)
        return bytes(builder.build().dgram)

    def bundles(self, messages: Iterable[bytes], most_bytes: int, *first: bytes) -> Iterator[bytes]:
        """The messages in their order, in bundles of at most most_bytes, unless a single message is larger.

        first: messages that every bundle begins with.
        """
        head = _BUNDLE + b"".join(map(_element, first))
        for part in _parts(map(_element, messages), most_bytes - len(head)):
            yield head + b"".join(part)


def _element(message: bytes) -> bytes:
    return _SIZE.pack(len(message)) + message


def _parts(elements: Iterable[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """The elements in their order, in lists that are no larger together, unless a single one is."""
    part: list[bytes] = []
    used = 0
    for element in elements:
        if part and used + len(element) > most_bytes:
            yield part
            part, used = [], 0
        part.append(element)
        used += len(element)
    yield part
