"""Mutations of bytes and texts that only know numbers, lines and values, not the format."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

LARGEST_INPUT = 1 << 20
ODD_INTEGERS = (0, 1, 2, 255, 256, 32767, 32768, 65535, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1)
ODD_NUMBERS = (
    *("nan", "inf", "-inf", "1e999", "-1e308", "1e-320", "0", "-0", "-1", "4294967296", "9" * 30, "9" * 5000),
    *("1_000", "0x10", "１２", "1,5", "1.2.3", "1j", "true", "None", "", "+", "1e", "٣", "²"),
)
ODD_TEXTS = (
    *("", "\0", "\x1b[31m", "a" * 5000, "../../../etc/hostname", "/dev/zero", "/dev/stdin", "ä" * 200, "\u202e", "😀"),
    *("http://host/a", "file:///etc/hostname", "%s%n", "{0}", "!!python/object/apply:os.getcwd []", "*a", "&a [*a]"),
    *(
        "a:b",
        "a b",
        " ",
        "\n",
        "\r",
        "\t",
        '"',
        "'",
        ",",
        ":",
        "-",
        "~",
        "null",
        "train.task.LandmarkTask",
        "os.system",
    ),
)


def change_bytes(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change, remove, repeat or exchange some bytes, or take them from another input."""
    for _ in range(1 << rng.choice((0, 0, 0, 1, 1, 2, 3))):
        data = rng.choice(_BYTES)(rng, bytearray(data), others)
    return data[:LARGEST_INPUT]


def change_text(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Mutate a text of numbers, words and lines, sometimes its bytes."""
    if rng.random() < 0.25:
        return change_bytes(rng, data, others)
    text = data.decode("utf-8", "surrogateescape")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        text = rng.choice(_TEXTS)(rng, text)
    return text.encode("utf-8", "surrogateescape")[:LARGEST_INPUT]


def change_json(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Mutate a value of a JSON text, sometimes the text."""
    if rng.random() < 0.2:
        return change_text(rng, data, others)
    try:
        value = json.loads(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            value = change_value(rng, value)
        if rng.random() < 0.05:
            depth = rng.choice((30, 60, 3000, 100_000))
            return json.dumps(change_value(rng, value, _DEEP)).replace(f'"{_DEEP}"', "[" * depth + "]" * depth).encode()
        return json.dumps(value).encode()
    except (ValueError, OverflowError, RecursionError):
        return change_text(rng, data, others)


ODD_YAML = (
    *("&a [*a]", "&a {b: *a}", "*none", "!!python/object/apply:os.getcwd []", "!!int x", "!!float -", "!!binary '*'"),
    *(
        "2001-13-45",
        "2001-01-01T99:99:99Z",
        "190:20:30.15",
        "0b",
        "0x",
        "0o99",
        "1__",
        "? [1]\n: 2",
        "<<: [1]",
        "{<<: 3}",
    ),
    *(
        "!!set {a, b}",
        "!!timestamp x",
        "!!omap [1]",
        "!!bool 3",
        "!!null 3",
        "!a b",
        "%",
        "@a",
        "`",
        "---\na: 1",
        "...",
    ),
)


def change_yaml(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Replace a value of a YAML text by one that YAML interprets unexpectedly, or mutate the text."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    places = [i for i, line in enumerate(lines) if ": " in line]
    if not places or rng.random() < 0.7:
        return change_text(rng, data, others)
    at = rng.choice(places)
    lines[at] = f"{lines[at].partition(': ')[0]}: {rng.choice(ODD_YAML)}"
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def odd_value(rng: random.Random) -> Any:
    """Return an unusual JSON value."""
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice((None, True, False, [], {}, "", 0, -1, 1.5, [None], {"": None}))
    if kind == 1:
        return rng.choice((float("nan"), float("inf"), float("-inf"), 1e308, -0.0, 5e-324))
    if kind in (2, 3):
        return rng.choice(ODD_INTEGERS) * rng.choice((1, -1)) + rng.choice((0, 0, 1, -1))
    if kind == 4:
        return 10 ** rng.choice((18, 30, 400))
    if kind in (5, 6):
        return rng.choice(ODD_TEXTS)
    if kind == 7:
        return "\ud800" * rng.choice((1, 70))
    if kind == 8:
        return [rng.choice((0, 1.5, "a", None, [])) for _ in range(rng.choice((1, 2, 3, 1000)))]
    if kind == 9:
        return _nested(rng)
    if kind == 10:
        return {"class_path": rng.choice(("os.system", "train.task.LandmarkTask", 3, "x" * 300)), "init_args": {}}
    return rng.uniform(-1e6, 1e6)


_DEEP = "nested so deep"


def change_value(rng: random.Random, value: Any, new: Any = None) -> Any:
    """A value of JSON with one place in it changed: replaced, by new where it is given, removed, doubled, renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        changed = dict(value)
        name = rng.choice(list(changed))
        how = rng.random()
        if how < 0.1:
            del changed[name]
        elif how < 0.15:
            changed[str(rng.choice(ODD_TEXTS))] = changed.pop(name)
        elif how < 0.2:
            changed[f"{name}{rng.choice(('+', '.a', '_', ''))}"] = odd_value(rng)
        else:
            changed[name] = change_value(rng, changed[name], new)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        listed = list(value)
        at, how = rng.randrange(len(listed)), rng.random()
        if how < 0.15:
            del listed[at]
        elif how < 0.3:
            listed.insert(at, listed[rng.randrange(len(listed))])
        else:
            listed[at] = change_value(rng, listed[at], new)
        return listed
    if new is not None:
        return new
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.3:
        near = rng.choice((value + 1, value - 1, -value, value * 10**9, [value], f"{value:.3g}"[:9]))
        return float(near) if isinstance(near, int) and abs(near) < 1 << 60 and rng.random() < 0.3 else near
    if isinstance(value, str) and rng.random() < 0.3:
        return rng.choice((value + rng.choice(ODD_TEXTS), value[1:], value.upper(), [value], {value: value}))
    return odd_value(rng)


def _nested(rng: random.Random) -> Any:
    value: Any = rng.choice((0, [], {}))
    for _ in range(rng.choice((5, 40, 60, 400))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def _span(rng: random.Random, length: int, most: int = 64) -> tuple[int, int]:
    start = rng.randrange(length + 1)
    return start, min(length, start + rng.randrange(1, most + 1))


def _flip(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    for _ in range(min(len(data), rng.choice((1, 1, 2, 8)))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _set(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(data)


def _integer(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    form = rng.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    packed = struct.pack(form, rng.choice(ODD_INTEGERS) & ((1 << 8 * struct.calcsize(form)) - 1))
    at = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 64) + 1)
    data[at : at + len(packed)] = packed
    return bytes(data)


def _near_integer(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    """Change a number in the bytes slightly, like a count or a size that is off by one."""
    form = rng.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    if len(data) > size:
        at = rng.randrange(len(data) - size)
        (value,) = struct.unpack_from(form, data, at)
        value = (value + rng.choice((1, -1, 16, -16, value))) % (1 << 8 * size)
        struct.pack_into(form, data, at, value)
    return bytes(data)


def _cut(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    return bytes(data[: rng.randrange(len(data) + 1)])


def _remove(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, len(data))
    return bytes(data[:start] + data[end:])


def _repeat(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, len(data), rng.choice((4, 64, 4096)))
    return bytes(data[:end] + data[start:end] * rng.choice((1, 1, 2, 50)) + data[end:])


def _exchange(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted((_span(rng, len(data)), _span(rng, len(data))))
    if b > c:
        return bytes(data)
    return bytes(data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:])


def _insert(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    new = rng.choice((rng.randbytes(rng.randrange(1, 16)), bytes(rng.randrange(1, 64)), b"\xff" * rng.randrange(1, 16)))
    return bytes(data[:at] + new + data[at:])


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    return bytes(data[: rng.randrange(len(data) + 1)]) + bytes(other[rng.randrange(len(other) + 1) :])


_BYTES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], bytes], ...] = (
    *(_flip, _flip, _set, _integer, _integer, _near_integer, _near_integer),
    *(_cut, _remove, _repeat, _exchange, _insert, _splice),
)


def _number(rng: random.Random, text: str) -> str:
    found = list(re.finditer(r"[-+]?\d[\d.eE+-]*", text))
    if not found:
        return text
    match = rng.choice(found if rng.random() < 0.7 else found[:4])
    odd = str(rng.choice(ODD_INTEGERS)) if rng.random() < 0.3 else rng.choice(ODD_NUMBERS)
    return text[: match.start()] + odd + text[match.end() :]


def _word_in(rng: random.Random, text: str) -> str:
    found = list(re.finditer(r"[^\s,:=]+", text))
    if not found:
        return rng.choice(ODD_TEXTS)
    match = rng.choice(found if rng.random() < 0.6 else found[:6])
    return text[: match.start()] + rng.choice(ODD_TEXTS) + text[match.end() :]


def _lines(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.randrange(5)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines[at:at] = [lines[other]] * rng.choice((1, 1, 2, 100))
    elif how == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif how == 3:
        lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    else:
        lines[at] = rng.choice(("  ", "\t", "- ", "# ", "")) + lines[at] + rng.choice(("", " ", ",", "\t1", ":"))
    return "\n".join(lines)


def _text_in(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    odd = rng.choice(
        (*ODD_TEXTS, "\ufeff", "\u2028", "\udcff", "[" * 2000, "{a: " * 200, "&a [*a, *a]", "? ", "<<: *a")
    )
    return text[:at] + odd + text[at:]


def _tokens_removed(rng: random.Random, text: str) -> str:
    found = list(re.finditer(r"\S+\s?", text))
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start()] + text[match.end() :]


_TEXTS: tuple[Callable[[random.Random, str], str], ...] = (
    *(_number, _number, _number, _word_in, _lines, _lines, _text_in, _tokens_removed),
)
