"""Mutations that keep a container format valid, to reach its content: Protocol Buffers, ZIP, pickle."""

from __future__ import annotations

import io
import pickle
import pickletools
import random
import struct
import warnings
import zipfile
from collections.abc import Sequence

from benchmarks._lib.fuzzing.bytes_changed import ODD_INTEGERS, ODD_TEXTS, change_bytes, change_json, odd_value

_ODD_FLOATS = (float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 1e-45, -1.0, 0.0)
_NUMBER, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Field = tuple[int, int, int | bytes]
"""Number, wire type and content of a field of a message."""


def change_message(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Mutate a field at any depth of a Protocol Buffers message, such as an ONNX model."""
    if rng.random() < 0.2:
        return change_bytes(rng, data, others)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = _field_changed(rng, data)
    return data


def _field_changed(rng: random.Random, data: bytes) -> bytes:
    fields = fields_of(data)
    if not fields:
        return _leaf(rng, data)
    at, how = rng.randrange(len(fields)), rng.random()
    number, kind, content = fields[at]
    if how < 0.06:
        del fields[at]
    elif how < 0.12:
        fields.insert(rng.randrange(len(fields) + 1), fields[at])
    elif how < 0.15:
        fields[at] = (rng.choice((number + 1, number - 1, rng.randrange(1, 30))) or 1, kind, content)
    elif isinstance(content, int):
        fields[at] = (number, kind, rng.choice((*ODD_INTEGERS, (1 << 64) - 1, content + 1, max(content - 1, 0))))
    elif kind == _BYTES:
        fields[at] = (number, kind, _field_changed(rng, content))
    else:
        fields[at] = (number, kind, bytes(rng.choice((0, 0xFF, 0x7F, rng.randrange(256))) for _ in content))
    return b"".join(map(_serialized, fields))


def _leaf(rng: random.Random, data: bytes) -> bytes:
    """Of a field that is no message: a text, JSON, or numbers."""
    if data[:1] == b"{":
        return change_json(rng, data)
    if len(data) >= 12 and len(data) % 4 == 0 and rng.random() < 0.3:  # numbers in float32, it may be
        at = 4 * rng.randrange(len(data) // 4)
        return data[:at] + struct.pack("<f", rng.choice(_ODD_FLOATS)) + data[at + 4 :]
    if data.isascii() and rng.random() < 0.5:
        return rng.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
    return change_bytes(rng, data)


def fields_of(data: bytes) -> list[Field]:
    """Return the fields of a message; empty if it is not one."""
    fields: list[Field] = []
    at = 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            content: int | bytes
            if number == 0 or number > 1 << 20:
                return []
            if kind == _NUMBER:
                content, at = _varint(data, at)
            elif kind in (_BYTES, _FIXED32, _FIXED64):
                length, at = _varint(data, at) if kind == _BYTES else ({_FIXED32: 4, _FIXED64: 8}[kind], at)
                content, at = data[at : at + length], at + length
                if len(content) < length:
                    return []
            else:
                return []
            fields.append((number, kind, content))
    except IndexError:
        return []
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise IndexError
    return value | data[at] << shift, at + 1


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _serialized(field: Field) -> bytes:
    number, kind, content = field
    tag = _as_varint(number << 3 | kind)
    if isinstance(content, int):
        return tag + _as_varint(content & (1 << 64) - 1)
    return tag + (_as_varint(len(content)) if kind == _BYTES else b"") + content


def change_zip(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change, remove, duplicate, rename or compress a member of a ZIP archive; pickles are mutated by value."""
    if rng.random() < 0.15:
        return change_bytes(rng, data, others)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return change_bytes(rng, data, others)
    if not members:
        return data
    pickles = [i for i, (name, _) in enumerate(members) if name.endswith("data.pkl")]
    at = rng.choice(pickles) if pickles and rng.random() < 0.8 else rng.randrange(len(members))
    name, content = members[at]
    how, packed = rng.random(), zipfile.ZIP_STORED
    if how < 0.04:
        del members[at]
    elif how < 0.08:
        members.append(members[at])
    elif how < 0.12:
        members[at] = (rng.choice((*ODD_TEXTS[3:8], name + "x", name[1:])), content)
    elif how < 0.16:
        packed = zipfile.ZIP_DEFLATED
    elif at in pickles:
        members[at] = (name, change_pickle(rng, content))
    else:
        members[at] = (name, change_bytes(rng, content))
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", packed) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for each, content in members:
            if each.split("\0")[0]:
                archive.writestr(zipfile.ZipInfo(each), content, packed)
    return out.getvalue()


def change_pickle(rng: random.Random, data: bytes) -> bytes:
    """Replace values in a pickle, sometimes its bytes."""
    if rng.random() < 0.1:
        return change_bytes(rng, data)
    try:
        steps = [(at, code.name) for code, _, at in pickletools.genops(data)]
    except (ValueError, IndexError, UnicodeDecodeError):
        return change_bytes(rng, data)
    ends = [at for at, _ in steps[1:]] + [len(data)]
    values = [i for i, (_, name) in enumerate(steps) if name in _VALUES]
    if not values:
        return data
    near = int(len(values) * rng.random() ** 3)  # to an end: in the middle of a checkpoint are its many weights
    i = values[rng.choice((near, -1 - near))]
    value = rng.choice((None, True, -1, 1 << 70, float("nan"), ())) if rng.random() < 0.3 else odd_value(rng)
    new = pickle.dumps(value, 2)[2:-1]  # without PROTO and STOP
    return data[: steps[i][0]] + new + data[ends[i] :]


_VALUES = {
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE", "BINGET"),
}
