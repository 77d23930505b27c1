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
"""The largest datagram that python-osc's server reads; the limit of macOS is 9216, that of UDP 65507."""

_BUNDLE = b"#bundle\0" + bytes(7) + b"\1"  # with the time "immediately"
_SIZE = struct.Struct(">i")  # of a message, in front of it


class OscMessages(Closing):
    """Sends each frame as one bundle of OSC 1.0; only the types i, f and s are used.

    | address | arguments |
    | --- | --- |
    | /frame | i index from 0, f seconds since the first frame, i width, i height in pixels |
    | /faces | i ids of all faces in this frame; no arguments if there are no faces |
    | /face/ID/points | f x0 y0 x1 y1 ...: the smoothed landmarks in pixels, x right, y down, centres at integers |
    | /face/ID/scores | f score of each landmark, 0 to 1 |
    | /face/ID/visibility | f visibility of each landmark, 0 to 1, if the model tells it |
    | /face/ID/box | f x y width height of the landmarks' extent in pixels |
    | /face/ID/score | f 0 to 1, that this is a face |
    | /face/ID/state | s tracking or coasting (not measured, kept at its last position for a short time) |
    | /face/ID/lost | none; sent once, when the face is lost and when the run ends |

    Pixels are as in FaceOSC's /raw. The time of a bundle is "immediately". A frame of more than MOST_BYTES is sent in
    several bundles, each of which begins with /frame. UDP does not report whether a datagram arrives; a bundle that
    cannot be sent is dropped, with one warning in the log.

    Source: Wright, The Open Sound Control 1.0 Specification, 2002.

    Args:
        address: HOST:PORT such as 127.0.0.1:9000 or [::1]:9000; a broadcast address is possible.

    Raises:
        TrackerError: the address is invalid or its host unknown, or python-osc is not installed.
    """

    def __init__(self, address: str) -> None:
        self._osc = OscBuilder("OSC")
        self._target = UdpTarget("OSC", address)
        self._ids: set[int] = set()

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Send the messages of a frame, see Sink.write."""
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
        """Send /face/ID/lost for each face, and close the socket."""
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
    """Builds messages of OSC 1.0 with python-osc, and bundles of them.

    The bundles are built here, because python-osc parses each message again when it builds one, which takes most of the
    time.

    Args:
        protocol: its name, for error messages.

    Raises:
        TrackerError: python-osc is not installed.
    """

    def __init__(self, protocol: str) -> None:
        try:
            self._messages = import_module("pythonosc.osc_message_builder")
        except ImportError as error:
            raise TrackerError(f"{protocol} {describe_missing('python-osc', 'osc', error)}") from error

    def message(self, address: str, types: str, values: Iterable[Any]) -> bytes:
        """Build a message.

        Args:
            address: such as /frame.
            types: OSC's letter for the type of each value, such as "sf".
            values: the arguments.

        Returns:
            The message.
        """
        builder = self._messages.OscMessageBuilder(address)
        for kind, value in zip(types, values):
            builder.add_arg(value, kind)
        return bytes(builder.build().dgram)

    def bundles(self, messages: Iterable[bytes], most_bytes: int, *first: bytes) -> Iterator[bytes]:
        """Put messages into bundles, in their order.

        Args:
            messages: the messages.
            most_bytes: the largest size of a bundle; a bundle with one message may be larger.
            first: messages at the beginning of each bundle.

        Yields:
            The bundles.
        """
        head = _BUNDLE + b"".join(map(_element, first))
        for part in _parts(map(_element, messages), most_bytes - len(head)):
            yield head + b"".join(part)


def _element(message: bytes) -> bytes:
    return _SIZE.pack(len(message)) + message


def _parts(elements: Iterable[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """Split elements into lists of at most most_bytes each, in their order; a list with one element may be larger."""
    part: list[bytes] = []
    used = 0
    for element in elements:
        if part and used + len(element) > most_bytes:
            yield part
            part, used = [], 0
        part.append(element)
        used += len(element)
    yield part
