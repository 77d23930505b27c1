"""What the tracker's process sends to the process of the live view, through its standard input."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.result import FrameResult

Image = NDArray[np.uint8]
_HEAD = struct.Struct("<Q")  # bytes of the pickle that follows


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class _Writable(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class Settings:
    """The first message: where to listen, the token if one was given, and the name of the source for people."""

    address: str
    token: str | None
    source: str


@dataclass(frozen=True)
class Shot:
    """One frame's result.

    Attributes:
        result: points in pixels of a frame of that size.
        size: (width, height) of the frame in pixels.
        latency_s: seconds from the grab of a live frame to its result; None of other sources.
        losses: what the source could not give so far: dropped and unreadable frames, gaps.
    """

    result: FrameResult
    size: tuple[int, int]
    latency_s: float | None
    losses: dict[str, float]


@dataclass(frozen=True)
class Batch:
    """Results in their order, and one of them with its picture, if one was asked for.

    Attributes:
        shots: what has come since the last batch.
        shown: the one that the picture is of.
        picture_rgb: (H, W, 3) RGB, of any size.
    """

    shots: tuple[Shot, ...]
    shown: Shot | None = None
    picture_rgb: Image | None = None


@dataclass(frozen=True)
class End:
    """The last message of a run that has ended in good order."""

    frames: int


Message = Settings | Batch | End


def send(stream: _Writable, message: Message) -> None:
    """Write a message whole; a picture is written from where it lies."""
    picture = message.picture_rgb if isinstance(message, Batch) else None
    shape = None if picture is None else picture.shape
    if isinstance(message, Batch):
        message = Batch(message.shots, message.shown)
    content = pickle.dumps((message, shape), pickle.HIGHEST_PROTOCOL)
    _write(stream, memoryview(_HEAD.pack(len(content)) + content))
    if picture is not None:
        _write(stream, np.ascontiguousarray(picture).data.cast("B"))


def receive(stream: _Readable) -> Message | None:
    """The next message; None where the stream ends, be it within one."""
    head = _read(stream, _HEAD.size)
    content = None if head is None else _read(stream, _HEAD.unpack(head)[0])
    if content is None:
        return None
    message: Message
    message, shape = pickle.loads(content)  # of our own process, through a pipe that nobody else has
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
