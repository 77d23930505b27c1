"""Labels in .pts files, as 300W and 300VW hold them."""

from __future__ import annotations

import codecs
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tracker.face.geometry import Array

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MOST_BYTES = 1_000_000  # of a .pts file, which has 2 kB
FURTHEST_OUTSIDE = 1.0
"""How far outside of its picture a label may be, in widths or heights of it, whichever is larger. 300W has none
outside; of a face that the border cuts in half, points are half a face outside."""


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


def expect_near(points_px: Array, width: int, height: int) -> None:
    """Raise ValueError for labels that cannot be those of a picture of width x height pixels.

    Some points outside are a fact of the sets. With none inside the label is that of another picture; one that is
    further outside than FURTHEST_OUTSIDE is mistyped. Outside is beyond the edge of the outermost pixels.
    """
    corner = (width - 0.5, height - 0.5)
    if not ((points_px >= -0.5) & (points_px <= corner)).all(1).any():
        raise ValueError(f"none of its points lies in its picture of {width} x {height} pixels")
    outside = float(np.maximum(-0.5 - points_px, points_px - corner).max())
    if outside > FURTHEST_OUTSIDE * max(width, height):
        raise ValueError(f"a point lies {outside:.0f} pixels outside of its picture of {width} x {height}")


def group_by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """The pictures and .pts files among the paths by their names without the suffix, whatever the suffix' case."""
    files: dict[str, list[Path]] = {}
    for path in paths:
        if path.suffix.lower() in (".pts", *PICTURE_SUFFIXES):
            files.setdefault(path.stem, []).append(path)
    return files


def as_pair(paths: Sequence[Path]) -> tuple[Path, Path]:
    """The (picture, .pts) of files of one name. Raises ValueError, naming them, unless it is one of each."""
    labels = [path for path in paths if path.suffix.lower() == ".pts"]
    pictures = [path for path in paths if path not in labels]
    if (len(pictures), len(labels)) != (1, 1):
        found = ", ".join(path.name for path in paths)
        raise ValueError(f"expected one picture and one .pts file of that name, got {found}")
    return pictures[0], labels[0]


def labelled_pictures(folder: Path) -> list[tuple[Path, Path]]:
    """The (picture, .pts) pairs directly in a folder, by name: NAME.jpg beside NAME.pts.

    Raises ValueError naming the first file without its partner, or with more than one, and how many names have none;
    and for a folder that holds no pairs.
    """
    pairs: list[tuple[Path, Path]] = []
    wrong: list[str] = []
    for _, paths in sorted(group_by_name(sorted(folder.glob("*"))).items()):
        try:
            pairs.append(as_pair(paths))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError(f"{folder}: {len(wrong)} names are not a picture with its labels; the first: {wrong[0]}")
    if not pairs:
        raise ValueError(f"{folder}: expected pictures with .pts files beside them, found none")
    return pairs
