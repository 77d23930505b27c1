"""The text of .pts files, the label format of 300W and 300VW."""

from __future__ import annotations

import re

import numpy as np

from tracker.face.geometry import Array

FURTHEST_OUTSIDE = 1.0
"""How far outside its picture a label may be, as a multiple of the picture's longer side. 300W has none outside; if the
border cuts a face in half, its points are up to half a face outside."""


def parse_pts(text: str) -> Array:
    """Parse the text of a .pts file.

    Coordinates in the file are 1-based, so 1 is subtracted. The header lines ("version:", "n_points:") and the braces
    may be missing; if n_points is stated, it must be right.

    Args:
        text: of the file.

    Returns:
        (K, 2) points in pixels, pixel centres at integers from 0.

    Raises:
        ValueError: something is not a number or not finite, or the number of points is not the stated one.
    """
    stated = re.search(r"n_points\s*:(.*)", text)
    body = re.sub(r"(?m)^.*:.*$", "", text).replace("{", " ").replace("}", " ")
    try:
        values = np.array(body.split(), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"expected lines of two numbers, {error!s:.80}") from None
    if values.size == 0 or values.size % 2:
        raise ValueError(f"expected pairs of numbers, got {values.size} numbers")
    if stated and stated[1].strip() != str(values.size // 2):
        raise ValueError(f"its header states {stated[1].strip()[:40]!r} points, it holds {values.size // 2}")
    if not np.isfinite(values).all():
        raise ValueError("it holds numbers that are not finite")
    return values.reshape(-1, 2) - 1.0


def as_pts(points_px: Array) -> bytes:
    """Format points as the content of a .pts file, whose coordinates are 1-based.

    Args:
        points_px: (K, 2) pixels, pixel centres at integers from 0.

    Returns:
        The content, ASCII.
    """
    lines = [f"{x:.4f} {y:.4f}" for x, y in np.asarray(points_px) + 1.0]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""]).encode("ascii")


def expect_near(points_px: Array, width: int, height: int) -> None:
    """Check that labels can belong to a picture of that size.

    Data sets do have some points outside the picture, beyond the edge of the outermost pixels. If no point is inside,
    the labels are those of another picture; a point farther outside than FURTHEST_OUTSIDE is a typing error.

    Args:
        points_px: (K, 2) pixels.
        width: of the picture, in pixels.
        height: of the picture, in pixels.

    Raises:
        ValueError: the labels cannot belong to the picture.
    """
    corner = (width - 0.5, height - 0.5)
    if not ((points_px >= -0.5) & (points_px <= corner)).all(1).any():
        raise ValueError(f"none of its points lies in its picture of {width} x {height} pixels")
    outside = float(np.maximum(-0.5 - points_px, points_px - corner).max())
    if outside > FURTHEST_OUTSIDE * max(width, height):
        raise ValueError(f"a point lies {outside:.0f} pixels outside its picture of {width} x {height}")
