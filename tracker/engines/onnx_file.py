"""What an .onnx file says without onnx and without a runtime, neither of which is everywhere: its metadata, and
the files beside it that hold its weights (ONNX calls them external data).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import TrackerError
from tracker.system.files import read_plain

LARGEST = 2**31 - 1  # bytes; Protocol Buffers has no larger messages

_METADATA, _NAME, _VALUE = 14, 1, 2  # ModelProto.metadata_props, StringStringEntryProto.key and .value
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # Protocol Buffers' wire types
_PARTS = {  # the fields that lead to a model's tensors and from there to the entries that name files, by onnx.proto
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def read_model(path: Path) -> bytes:
    """The file's bytes. Raises TrackerError for what cannot be read, is no regular file or too large."""
    try:
        return read_plain(path, LARGEST)
    except OSError as error:
        raise TrackerError(f"{path}: cannot read the model: {error.strerror}") from None


def model_sha256(path: Path) -> str:
    """SHA-256, hex, of a model: of its file alone, or with that of every file which holds its weights.

    Raises TrackerError as read_model and external_files do.
    """
    model = read_model(path)
    digest = hashlib.sha256(model)
    for file in external_files(path, model):
        try:
            digest.update(file.relative_to(path.parent).as_posix().encode("utf-8", "surrogateescape") + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise TrackerError(f"{file}: cannot read the weights of {path}: {error.strerror}") from None
    return digest.hexdigest()


def external_files(path: Path, model: bytes) -> list[Path]:
    """The files that hold weights of the model at path, sorted; none for most models.

    Raises TrackerError unless each is a file in the model's folder, or below it. Where the model is a link, the
    folder may be the one of the file that it leads to, as in the cache of the Hugging Face hub.
    """
    if b"location" not in model:
        return []
    try:
        names = sorted(_locations(memoryview(model)))
    except (IndexError, ValueError):
        raise TrackerError(f"{path}: expected an ONNX model, this is none") from None
    return [_beside(path, name) for name in names]


def metadata_of(model: bytes) -> dict[str, str]:
    """The metadata of a serialized ONNX model, empty for bytes that are none."""
    found = {}
    try:
        for field, content in _fields(memoryview(model)):
            if field == _METADATA:
                name, value = _entry(content)
                found[name] = value
    except (IndexError, ValueError):
        return {}
    return found


def _beside(path: Path, name: str) -> Path:
    file = path.parent / name
    leaves = Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name or ":" in name or "\0" in name
    if not leaves:
        try:
            real = file.resolve()
            leaves = not any(real.is_relative_to(folder) for folder in (path.parent.resolve(), path.resolve().parent))
        except (OSError, RuntimeError):  # a name that is too long, or links that go round
            leaves = True
    if leaves or not name:
        raise TrackerError(f"{path}: expected its weights in files beside it, it names {name[:80]!r}; not loaded")
    if not os.path.isfile(file):
        raise TrackerError(f"{path}: its weights are in {name[:80]!r}, which is not beside it; put that file there")
    return file


def _locations(model: memoryview) -> set[str]:
    found = set()
    parts: list[tuple[str, memoryview]] = [("model", model)]
    while parts:
        kind, message = parts.pop()
        if kind == "entry":
            name, value = _entry(message)
            if name == "location":
                found.add(value)
            continue
        for field, content in _fields(message):
            if inner := _PARTS[kind].get(field):
                parts.append((inner, content))
    return found


def _entry(message: memoryview) -> tuple[str, str]:
    fields = {field: bytes(content).decode() for field, content in _fields(message)}
    return fields.get(_NAME, ""), fields.get(_VALUE, "")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of the fields of a message; the content of numbers is left out."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, length = tag & 7, 0
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"no wire type of Protocol Buffers: {kind}")
        if at + length > len(message):
            raise IndexError("the message ends before its field")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that starts there, and where it ends. Raises IndexError where the message ends first."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise ValueError("no number of Protocol Buffers: longer than ten bytes")
    return value | message[at] << shift, at + 1
