"""Facts that a video file's container states and OpenCV does not report. No picture is decoded here."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_LARGEST_INDEX = 64 << 20  # the largest MP4 moov box that is read, in bytes: that of many hours
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
UNITY = (1, 0, 0, 1)

Matrix = tuple[int, int, int, int]


@dataclass(frozen=True)
class Container:
    """What a video file's container states.

    Attributes:
        counts: its number of frames is exact, taken from its index, and not an estimate.
        cut_short: the file has fewer bytes than it states.
        matrix: a, b, c, d of an MP4's display matrix, each -1, 0 or 1: a pixel at (x, y) is shown at
            (ax + cy, bx + dy).
    """

    counts: bool = False
    cut_short: bool = False
    matrix: Matrix = UNITY

    @property
    def mirrored(self) -> bool:
        """Whether the display matrix mirrors: its determinant is negative."""
        a, b, c, d = self.matrix
        return a * d - b * c < 0


def read_container(path: str) -> Container:
    """Read what the container of an AVI, MP4, MOV, MKV, WebM or WMV file states.

    Args:
        path: of the file.

    Returns:
        The defaults of Container for other formats, and for a damaged or unreadable file; nothing is raised.
    """
    try:
        with open(path, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except (OSError, ValueError, struct.error, IndexError):
        return Container()


def _read(file: BinaryIO, length: int) -> Container:
    head = file.read(4096)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _of_mp4(file, length)
    if head[:4] == b"RIFF":
        return Container(counts=True, cut_short=_riff_end(file, length) > length)
    if head[:4] == _EBML.to_bytes(4, "big"):
        return Container(cut_short=_segment_end(head) > length)
    if head[:16] == _ASF_HEADER and (at := head.find(_ASF_FILE)) > 0:
        return Container(cut_short=struct.unpack_from("<Q", head, at + 40)[0] > length)
    return Container()


def _riff_end(file: BinaryIO, length: int) -> int:
    """Return where the last chunk of the outermost level ends; a long AVI has several."""
    end = 0
    while end < length:
        file.seek(end)
        head = file.read(8)
        if head[:4] not in (b"RIFF", b"JUNK") or len(head) < 8:
            break
        size = struct.unpack_from("<I", head, 4)[0]
        end += 8 + size + size % 2
    return end if end != length + 1 else length  # writers may leave out a last byte of padding


def _segment_end(head: bytes) -> int:
    """Return where a Matroska file's segment ends; 0 if it is not stated, as in a file that was streamed."""
    at = 4
    size, at = _variable(head, at)
    at += size
    if int.from_bytes(head[at : at + 4], "big") != _SEGMENT:
        return 0
    size, end = _variable(head, at + 4)
    unknown = (1 << 7 * (end - at - 4)) - 1
    return 0 if size == unknown else end + size


def _variable(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-size integer of EBML (RFC 8794, section 4), and the offset after it."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return value, at + length


def _of_mp4(file: BinaryIO, length: int) -> Container:
    """Read the sizes of the outermost boxes and the video track (ISO/IEC 14496-12)."""
    moov, end = b"", 0
    while end < length:
        file.seek(end)
        head = file.read(16)
        if len(head) < 8:
            break
        size, kind = struct.unpack_from(">I4s", head)
        inside = 16 if size == 1 else 8
        size = struct.unpack_from(">Q", head, 8)[0] if size == 1 else size or length - end
        if size < inside:
            break
        if kind == b"moov" and size < _LARGEST_INDEX:
            file.seek(end + inside)
            moov = file.read(size - inside)
        end += size
    boxes = dict(_boxes(moov))
    tracks = [dict(_boxes(body)) for kind, body in _boxes(moov) if kind == b"trak"]
    track = next((each for each in tracks if _handler(each) == b"vide"), None)
    if track is None:
        return Container(cut_short=end > length)
    in_fragments = b"mvex" in boxes
    return Container(not (in_fragments or _is_edited(track)), end > length, _matrix(track.get(b"tkhd", b"")))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the content of each box inside another box's content."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        inside = 16 if size == 1 else 8
        size = struct.unpack_from(">Q", data, at + 8)[0] if size == 1 else size or len(data) - at
        if size < inside:
            return
        yield kind, data[at + inside : at + size]
        at += size


def _handler(track: dict[bytes, bytes]) -> bytes:
    return dict(_boxes(track.get(b"mdia", b""))).get(b"hdlr", b"")[8:12]


def _is_edited(track: dict[bytes, bytes]) -> bool:
    """Tell whether an edit list may leave frames out: it begins later than the media, or ends before it."""
    edits = dict(_boxes(track.get(b"edts", b""))).get(b"elst", b"")
    if not edits:
        return False
    count = struct.unpack_from(">I", edits, 4)[0]
    form, step = (">Qq", 20) if edits[0] == 1 else (">Ii", 12)
    starts = [struct.unpack_from(form, edits, 8 + step * i)[1] for i in range(min(count, len(edits) // step))]
    shown = [start for start in starts if start >= 0]  # -1: an empty edit, which only delays
    return len(shown) != 1 or shown[0] > _first_offset(track)


def _first_offset(track: dict[bytes, bytes]) -> int:
    """Return how much later the first picture is shown than decoded, as with B-frames."""
    data = track[b"mdia"]
    for kind in (b"minf", b"stbl", b"ctts"):
        data = dict(_boxes(data)).get(kind, b"")
    return int(struct.unpack_from(">i", data, 12)[0]) if data else 0


def _matrix(header: bytes) -> Matrix:
    """Return the display matrix of a track's header, reduced to signs: cameras write no scale and no shear."""
    if not header:
        return UNITY
    a, b, _, c, d = struct.unpack_from(">5i", header, 52 if header[0] == 1 else 40)
    straight = abs(a) + abs(d) >= abs(b) + abs(c)
    return (_sign(a), 0, 0, _sign(d)) if straight else (0, _sign(b), _sign(c), 0)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
