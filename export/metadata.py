"""The metadata of an .onnx file, read without onnx and without a runtime: where engines are built there may be none."""

from __future__ import annotations

from collections.abc import Iterator

_METADATA, _NAME, _VALUE = 14, 1, 2  # ModelProto.metadata_props, StringStringEntryProto.key and .value
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # Protocol Buffers' wire types


def metadata_of(model: bytes) -> dict[str, str]:
    """The metadata of a serialized ONNX model, empty for bytes that are none."""
    found = {}
    try:
        for field, content in _fields(model):
            if field == _METADATA:
                entry = dict(_fields(content))
                found[entry.get(_NAME, b"").decode()] = entry.get(_VALUE, b"").decode()
    except (IndexError, ValueError):
        return {}
    return found


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
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
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that starts there, and where it ends. Raises IndexError where the message ends first."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1
