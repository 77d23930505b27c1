"""Reads a picture's size from its header, before decoding; OpenCV gives the size only after it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

MOST_PIXELS = 1 << 28
"""The largest width times height of a picture or a video: 268 million, more than any camera has; 0.8 GB in RGB."""

_JPEG_ALONE = {0x01, *range(0xD0, 0xDA)}  # markers that no segment follows
_JPEG_NO_SIZE = {0xC4, 0xC8, 0xCC}  # within the range of frame markers, but not frames
_LONGEST_TEXT = 1 << 16  # of text headers, in bytes
_HEIF = (b"avif", b"avis", b"heic", b"heix", b"mif1")  # brands in the ftyp box
_TURNS = (b"irot", b"imir")
_PAM = re.compile(rb"^P7\s(?:.*\n)*?(?=ENDHDR)")
_HDR = re.compile(rb"^#\?(?:RADIANCE|RGBE)\n(?:.*\n)*?[-+]Y (\d{1,18}) [-+]X (\d{1,18})\n")
_PNM = re.compile(rb"^P[1-6](?:\s|#[^\n\r]*[\n\r])+(\d{1,18})(?:\s|#[^\n\r]*[\n\r])+(\d{1,18})")


def stated_size(content: bytes) -> tuple[int, int] | None:
    """Read the size that a picture file states.

    Args:
        content: the file, or enough of its beginning to hold the size. AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PNM,
            Radiance HDR, Sun raster, TIFF or WebP.

    Returns:
        (width, height) in pixels, the largest if several are stated. None for other formats and damaged headers; such
        a file should not be decoded.
    """
    try:
        sizes = list(_sizes(content))
    except (struct.error, IndexError, ValueError, OverflowError):
        return None
    if not sizes or min(map(min, sizes)) < 1:
        return None
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def has_picture_signature(head: bytes) -> bool:
    """Tell whether a file has the signature of a PNG, JPEG, GIF, WebP, AVIF, HEIC or JPEG 2000 picture.

    BMP and PNM are not recognised, because many texts begin with their two letters, nor is TIFF, whose signature is
    also that of cameras' raw files.

    Args:
        head: the first 32 bytes of the file.
    """
    return (
        head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"\xff\x4f\xff\x51"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _HEIF)
        or head[4:8] == b"jP  "
    )


def turns_of_heif(content: bytes) -> tuple[int, int | None]:
    """Read the orientation of an AVIF picture, which OpenCV ignores (ISO/IEC 23008-12, irot and imir).

    Returns:
        The number of quarter turns anticlockwise (0 to 3), and the axis to mirror afterwards: 0 for upside down, 1 for
        left to right, None for none.
    """
    if content[4:8] != b"ftyp":
        return 0, None
    turned, mirrored = (re.search(b"\0\0\0\x09" + name + b"(.)", content[:_LONGEST_TEXT], re.S) for name in _TURNS)
    return (turned[1][0] & 3 if turned else 0), (mirrored[1][0] & 1 if mirrored else None)


def _sizes(content: bytes) -> Iterator[tuple[int, int]]:
    head = bytes(content[:32])
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        yield _at(">II", content, 16)
    elif head.startswith(b"\xff\xd8"):
        yield _of_jpeg(content)
    elif head.startswith(b"BM"):
        width, height = _at("<HH", content, 18) if _at("<I", content, 14)[0] == 12 else _at("<ii", content, 18)
        yield width, abs(height)
    elif head[:6] in (b"GIF87a", b"GIF89a"):
        yield _at("<HH", content, 6)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        yield _of_webp(content)
    elif head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        yield from _of_tiff(content)
    elif head[4:8] == b"jP  " or head.startswith(b"\xff\x4f\xff\x51"):
        yield from (_at(">II", content, m.end() + 4) for m in re.finditer(b"\xff\x4f\xff\x51", content))
    elif head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        yield from (_at(">II", content, m.end() + 4) for m in re.finditer(b"ispe", content))
    elif head.startswith(b"\x59\xa6\x6a\x95"):
        yield _at(">II", content, 4)
    elif match := _HDR.match(content[:_LONGEST_TEXT]):
        yield int(match[2]), int(match[1])
    elif match := _PNM.match(content[:_LONGEST_TEXT]):
        yield int(match[1]), int(match[2])
    elif match := _PAM.match(content[:_LONGEST_TEXT]):
        width, height = (re.search(rb"\n%s\s+(\d{1,18})" % name, match[0]) for name in (b"WIDTH", b"HEIGHT"))
        if width and height:
            yield int(width[1]), int(height[1])


def _at(form: str, content: bytes, offset: int) -> Any:
    return struct.unpack_from(form, content, offset)


def _of_jpeg(content: bytes) -> tuple[int, int]:
    """Read the size from the frame header; previews in other segments are skipped."""
    place = 2
    while True:
        place = content.index(b"\xff", place) + 1
        marker = content[place]
        if marker in (0x00, 0xFF) or marker in _JPEG_ALONE:
            place += marker != 0xFF
        elif 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_SIZE:
            height, width = _at(">HH", content, place + 4)
            return width, height
        else:
            place += 1 + _at(">H", content, place + 1)[0]


def _of_webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        (bits,) = _at("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _at("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


def _of_tiff(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the size of the first picture and that of its tiles, which are decoded whole."""
    order = "<" if content[:2] == b"II" else ">"
    big = _at(f"{order}H", content, 2)[0] == 43
    (place,) = _at(f"{order}{'Q' if big else 'I'}", content, 8 if big else 4)
    (count,) = _at(f"{order}{'Q' if big else 'H'}", content, place)
    place += 8 if big else 2
    values = {}
    for entry in range(place, place + min(count, 4096) * (20 if big else 12), 20 if big else 12):
        tag, kind = _at(f"{order}HH", content, entry)
        form = {3: "H", 4: "I", 16: "Q"}.get(kind)
        if tag in (256, 257, 322, 323) and form:
            (values[tag],) = _at(f"{order}{form}", content, entry + (12 if big else 8))
    yield values.get(256, 0), values.get(257, 0)
    if 322 in values:
        yield values[322], values.get(323, 0)
