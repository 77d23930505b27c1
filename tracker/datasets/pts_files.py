"""Labels in .pts files beside their pictures, as in 300W, 300VW and custom folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tracker.face.geometry import Array
from tracker.face.pts import as_pts, parse_pts
from tracker.system.files import read_text

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MOST_BYTES = 1_000_000  # of a .pts file, which has 2 kB


def read_pts(path: Path) -> Array:
    """Read a .pts file.

    Args:
        path: of the file.

    Returns:
        (K, 2) pixels, the first pixel's centre at 0, see tracker.face.pts.parse_pts.

    Raises:
        ValueError: naming the file, if it cannot be read, is larger than MOST_BYTES, or has no points.
    """
    try:
        text = read_text(path, MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: expected a .pts file, it cannot be read: {error.strerror}") from None
    try:
        return parse_pts(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_pts(path: Path, points_px: Array) -> None:
    """Write a .pts file, which is 1-based.

    Args:
        path: of the file.
        points_px: (K, 2) pixels, the first pixel's centre at 0.
    """
    path.write_bytes(as_pts(points_px))


def group_by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Group pictures and .pts files by their names without the suffix; the case of the suffix is ignored."""
    files: dict[str, list[Path]] = {}
    for path in paths:
        if path.suffix.lower() in (".pts", *PICTURE_SUFFIXES):
            files.setdefault(path.stem, []).append(path)
    return files


def as_pair(paths: Sequence[Path]) -> tuple[Path, Path]:
    """Return the (picture, .pts) among files of one name; raise ValueError unless there is one of each."""
    labels = [path for path in paths if path.suffix.lower() == ".pts"]
    pictures = [path for path in paths if path not in labels]
    if (len(pictures), len(labels)) != (1, 1):
        found = ", ".join(path.name for path in paths)
        raise ValueError(f"expected one picture and one .pts file of that name, got {found}")
    return pictures[0], labels[0]


def labelled_pictures(folder: Path) -> list[tuple[Path, Path]]:
    """Return the (picture, .pts) pairs directly in a folder, by name: NAME.jpg beside NAME.pts.

    Raises:
        ValueError: if there are names that are not one picture with one label, counting them and naming the first; and
            if the folder has no pairs.
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
