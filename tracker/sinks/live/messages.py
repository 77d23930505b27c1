"""Messages from the tracker's process to the process of the live view, sent through its standard input."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.result import FrameResult

Image = NDArray[np.uint8]
_HEAD = struct.Struct("<Q")  # length of the pickle that follows


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class _Writable(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class Settings:
    """The first message.

    Attributes:
        address: HOST:PORT to listen on.
        token: that the user has chosen, if any.
        source: name of the source, to be shown.
    """

    address: str
    token: str | None
    source: str


@dataclass(frozen=True)
class Shot:
    """The result of one frame.

    Attributes:
        result: with points in pixels of the frame.
        size: (width, height) of the frame in pixels.
        latency_s: seconds from the capture of a live frame to its result; None for other sources.
        losses: the source's counts of dropped and unreadable frames and of gaps so far.
    """

    result: FrameResult
    size: tuple[int, int]
    latency_s: float | None
    losses: dict[str, float]


@dataclass(frozen=True)
class Batch:
    """Several results, and a picture if one was requested.

    Attributes:
        shots: the results since the last batch, in their order.
        shown: the result that the picture belongs to.
        picture_rgb: (H, W, 3) uint8 RGB, of any size.
    """

    shots: tuple[Shot, ...]
    shown: Shot | None = None
    picture_rgb: Image | None = None


@dataclass(frozen=True)
class End:
    """The last message of a run that has ended normally.

    Attributes:
        frames: number of frames of the run.
    """

    frames: int


Message = Settings | Batch | End


def send(stream: _Writable, message: Message) -> None:
    """Write a message; the picture is not copied.

    Args:
        stream: to write to.
        message: the message.
    """
    picture = message.picture_rgb if isinstance(message, Batch) else None
    shape = None if picture is None else picture.shape
    if isinstance(message, Batch):
        message = Batch(message.shots, message.shown)
    content = pickle.dumps((message, shape), pickle.HIGHEST_PROTOCOL)
    _write(stream, memoryview(_HEAD.pack(len(content)) + content))
    if picture is not None:
        _write(stream, np.ascontiguousarray(picture).data.cast("B"))


def receive(stream: _Readable) -> Message | None:
    """Read the next message.

    Args:
        stream: to read from.

    Returns:
        The message; None if the stream has ended, also within a message.
    """
    head = _read(stream, _HEAD.size)
    content = None if head is None else _read(stream, _HEAD.unpack(head)[0])
    if content is None:
        return None
    message: Message
    message, shape = pickle.loads(content)  # safe: it comes from our own process, through a private pipe
    if shape is None or not isinstance(message, Batch):
        return message
    pixels = _read(stream, int(np.prod(shape)))
    return (
        None if pixels is None else Batch(message.shots, message.shown, np.frombuffer(pixels, np.uint8).reshape(shape))
    )


def _write(stream: _Writable, data: memoryview) -> None:
    while data:
        data = data[stream.write(data) or 0 :]


def _read(stream: _Readable, count: int) -> bytearray | None:
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        got = stream.readinto(rest)
        if not got:
            return None
        rest = rest[got:]
    return data
