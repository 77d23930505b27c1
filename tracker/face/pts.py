"""Labels in .pts files, as 300W and 300VW hold them."""

from __future__ import annotations

import codecs
import re
import stat
from pathlib import Path

import numpy as np

from tracker.face.geometry import Array

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MOST_BYTES = 1_000_000  # of a .pts file, which has 2 kB


def read_text(path: Path, what: str, most_bytes: int) -> str:
    """The text of a file in UTF-8, its lines ended by "\\n"; bytes that are none are replaced.

    Raises ValueError, naming the file and what was expected, for one that cannot be read, is no file, as a folder or
    a pipe, or has more than most_bytes.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path}: expected {what}, it is a directory or a device")
        if found.st_size > most_bytes:
            raise ValueError(f"{path}: expected {what} of {most_bytes} bytes at most, it has {found.st_size}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: expected {what}, there is no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: expected {what}, it cannot be read: {error.strerror}") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{path}: expected {what} in UTF-8, it is in UTF-16; save it as UTF-8")
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")


def read_pts(path: Path) -> Array:
    """The points (K, 2) of a .pts file in our pixels: the file's are 1-based, so 1 is subtracted.

    The header lines ("version:", "n_points:") and the braces may be missing; a stated n_points is held to.

    Raises ValueError naming the file for one that cannot be read, and for what is no number, not finite, or not as
    many as stated.
    """
    text = read_text(path, "a .pts file", MOST_BYTES)
    stated = re.search(r"n_points\s*:(.*)", text)
    body = re.sub(r"(?m)^.*:.*$", "", text).replace("{", " ").replace("}", " ")
    try:
        values = np.array(body.split(), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: expected lines of two numbers, {error!s:.80}") from None
    if values.size == 0 or values.size % 2:
        raise ValueError(f"{path}: expected pairs of numbers, got {values.size} numbers")
    if stated and stated[1].strip() != str(values.size // 2):
        raise ValueError(f"{path}: its header states {stated[1].strip()[:40]!r} points, it holds {values.size // 2}")
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: holds numbers that are not finite")
    return values.reshape(-1, 2) - 1.0


def as_pts(points_px: Array) -> bytes:
    """Points (K, 2) of our pixels as the content of a .pts file, 1-based."""
    lines = [f"{x:.4f} {y:.4f}" for x, y in np.asarray(points_px) + 1.0]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""]).encode("ascii")


def write_pts(path: Path, points_px: Array) -> None:
    """Write points (K, 2) of our pixels as a .pts file, 1-based."""
    path.write_bytes(as_pts(points_px))


def labelled_pictures(folder: Path) -> list[tuple[Path, Path]]:
    """The (picture, .pts) pairs directly in a folder, by name: NAME.jpg beside NAME.pts.

    Raises ValueError naming the labels without a picture, or the folder when it holds no pairs.
    """
    pictures = {p.stem: p for p in folder.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES}
    labels = sorted(folder.glob("*.pts"))
    orphans = [p.name for p in labels if p.stem not in pictures]
    if orphans:
        raise ValueError(f"{folder}: {len(orphans)} labels have no picture beside them, the first is {orphans[0]}")
    if not labels:
        raise ValueError(f"{folder}: expected pictures with .pts files beside them, found none")
    return [(pictures[p.stem], p) for p in labels]
