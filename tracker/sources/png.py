"""PNG files that state more than they hold: OpenCV 5 makes room for a part as large as stated before it reads it."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_MISSING = 1 << 26
"""Bytes of a part that may be missing, as in a file that was cut short."""


def is_overstated(content: bytes) -> bool:
    """Whether content is a PNG file with a part (a chunk) that is more than MOST_MISSING bytes longer than the file."""
    if not content.startswith(SIGNATURE):
        return False
    place = len(SIGNATURE)
    while place + 8 <= len(content):  # a chunk is its length, its name, that many bytes, and a checksum
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    return place > len(content) + MOST_MISSING
