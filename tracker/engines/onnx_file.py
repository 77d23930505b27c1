"""Reads an .onnx file without the package onnx and without a runtime, because they may not be installed.

It reads the metadata, and the names of the files with the weights if they are separate (ONNX's "external data").
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import TrackerError
from tracker.system.files import read_plain

LARGEST = 2**31 - 1  # bytes; the limit of Protocol Buffers

_METADATA, _NAME, _VALUE = 14, 1, 2  # ModelProto.metadata_props, StringStringEntryProto.key and .value
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # Protocol Buffers' wire types
_PARTS = {  # the fields of onnx.proto that lead to the tensors of a model, and to the entries that name files
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
    """Read a model file.

    Args:
        path: of the file.

    Returns:
        Its content.

    Raises:
        TrackerError: the file cannot be read, is not a regular file, or is too large.
    """
    try:
        return read_plain(path, LARGEST)
    except OSError as error:
        raise TrackerError(f"{path}: cannot read the model: {error.strerror}") from None


def model_sha256(path: Path) -> str:
    """Compute the SHA-256 of a model, which includes the files with its weights if they are separate.

    Args:
        path: of the .onnx file.

    Returns:
        The sum, in hexadecimal.

    Raises:
        TrackerError: a file cannot be read, see read_model and external_files.
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
    """List the separate files with the weights of a model; most models have none.

    Args:
        path: of the .onnx file. If it is a link, the files may also be in the folder of its target, as in the cache of
            the Hugging Face hub.
        model: its content.

    Returns:
        The files, sorted.

    Raises:
        TrackerError: one of them is not a file in the model's folder or below it, or the model is not an ONNX model.
    """
    if b"location" not in model:
        return []
    try:
        names = sorted(_locations(memoryview(model)))
    except (IndexError, ValueError):
        raise TrackerError(f"{path}: expected an ONNX model, this is not one") from None
    return [_beside(path, name) for name in names]


def metadata_of(model: bytes) -> dict[str, str]:
    """Read the metadata of a serialized ONNX model.

    Args:
        model: content of an .onnx file.

    Returns:
        The metadata by name; empty if it is not an ONNX model.
    """
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
        except (OSError, RuntimeError):  # a name that is too long, or a loop of links
            leaves = True
    if leaves or not name:
        raise TrackerError(
            f"{path}: expected its weights in files in the same folder, it names {name[:80]!r}; not loaded"
        )
    if not os.path.isfile(file):
        raise TrackerError(
            f"{path}: its weights are in {name[:80]!r}, which is not in the same folder; put that file there"
        )
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
    """Yield the number and the content of each field of a message; the content is empty for numeric fields."""
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
    """Read the number at a position; return it with its end. Raises IndexError if the message ends first."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise ValueError("no number of Protocol Buffers: longer than ten bytes")
    return value | message[at] << shift, at + 1
