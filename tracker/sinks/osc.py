"""Results as Open Sound Control messages over UDP."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.result import FrameResult, TrackedFace
from tracker.sinks.base import Closing
from tracker.sources import Frame
from tracker.system.extras import describe_missing

log = logging.getLogger(__name__)

MOST_BYTES = 8192
"""The largest datagram: what python-osc's server reads at once; macOS sends 9216, UDP itself carries 65507."""

_BUNDLE_HEAD, _ELEMENT_HEAD = 16, 4  # bytes of OSC 1.0 around messages, and before each


class OscMessages(Closing):
    """Sends every frame as one bundle of OSC 1.0 to a host and port; only the types i, f and s are used.

    | address | arguments |
    | --- | --- |
    | /frame | i index from 0, f seconds since the first frame, i width, i height in pixels |
    | /faces | i ids of all faces in this frame; none: no face |
    | /face/ID/points | f x0 y0 x1 y1 ...: the smoothed landmarks in pixels, x right, y down, centres at integers |
    | /face/ID/scores | f of each landmark, 0..1 |
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
        self._address = redact_source(address)
        self._bundles, self._messages = _import_builders()
        family, self._target = _resolved(address)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._ids: set[int] = set()
        self._complained = False

    def write(self, frame: Frame, result: FrameResult) -> None:
        ids = {face.id for face in result.faces}
        height, width = frame.image_rgb.shape[:2]
        head = self._message("/frame", "ifii", [result.index, result.timestamp_s, width, height])
        messages = [self._message("/faces", "i" * len(ids), sorted(ids)), *self._lost(self._ids - ids)]
        for face in result.faces:
            messages += self._of_face(face)
        for part in _parts(messages, MOST_BYTES - _BUNDLE_HEAD - _ELEMENT_HEAD - head.size):
            self._send([head, *part])
        self._ids = ids

    def close(self) -> None:
        if self._ids:
            self._send(self._lost(self._ids))
        self._ids = set()
        self._socket.close()

    def _of_face(self, face: TrackedFace) -> Iterator[Any]:
        points, scores = face.landmarks.points_px.ravel().tolist(), face.landmarks.scores.tolist()
        yield self._message(f"/face/{face.id}/points", "f" * len(points), points)
        yield self._message(f"/face/{face.id}/scores", "f" * len(scores), scores)
        yield self._message(f"/face/{face.id}/box", "ffff", face.box_px.tolist())
        yield self._message(f"/face/{face.id}/score", "f", [face.score])
        yield self._message(f"/face/{face.id}/state", "s", [face.state])

    def _lost(self, ids: Iterable[int]) -> list[Any]:
        return [self._message(f"/face/{number}/lost", "", []) for number in sorted(ids)]

    def _message(self, address: str, types: str, values: Iterable[Any]) -> Any:
        builder = self._messages.OscMessageBuilder(address)
        for kind, value in zip(types, values):
            builder.add_arg(value, kind)
        return builder.build()

    def _send(self, messages: Iterable[Any]) -> None:
        bundle = self._bundles.OscBundleBuilder(self._bundles.IMMEDIATELY)
        for message in messages:
            bundle.add_content(message)
        try:
            self._socket.sendto(bundle.build().dgram, self._target)
        except OSError as error:
            if not self._complained:
                log.warning("OSC to %s cannot be sent (%s): what cannot is dropped", self._address, error.strerror)
            self._complained = True


def _parts(messages: Iterable[Any], most_bytes: int) -> Iterator[list[Any]]:
    """The messages in their order, in lists that are no larger together, unless a single one is."""
    part: list[Any] = []
    used = 0
    for message in messages:
        size = _ELEMENT_HEAD + message.size
        if part and used + size > most_bytes:
            yield part
            part, used = [], 0
        part.append(message)
        used += size
    yield part


def _resolved(address: str) -> tuple[socket.AddressFamily, Any]:
    """The family and the socket address of HOST:PORT."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise TrackerError(f"OSC: expected HOST:PORT such as 127.0.0.1:9000, got {redact_source(address)}")
    try:
        family, *_, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        raise TrackerError(
            f"OSC: the host of {redact_source(address)} is not known: check its name, or give its number"
        ) from error
    return family, target


def _import_builders() -> tuple[Any, Any]:
    try:
        return import_module("pythonosc.osc_bundle_builder"), import_module("pythonosc.osc_message_builder")
    except ImportError as error:
        raise TrackerError(f"OSC {describe_missing('python-osc', 'osc', error)}") from error
