"""Detects PNG files that state more bytes than they hold: OpenCV 5 allocates a chunk's stated size before reading."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_MISSING = 1 << 26
"""Bytes of a chunk that may be missing, as in a file that was cut short."""


def is_overstated(content: bytes) -> bool:
    """Tell whether content is a PNG file with a chunk that ends more than MOST_MISSING bytes behind the file's end."""
    if not content.startswith(SIGNATURE):
        return False
    place = len(SIGNATURE)
    while place + 8 <= len(content):  # a chunk is its length, its name, that many bytes, and a checksum
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    return place > len(content) + MOST_MISSING
