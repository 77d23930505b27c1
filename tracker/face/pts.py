"""The text of .pts files, in which 300W and 300VW hold their labels."""

from __future__ import annotations

import re

import numpy as np

from tracker.face.geometry import Array

FURTHEST_OUTSIDE = 1.0
"""How far outside of its picture a label may be, in widths or heights of it, whichever is larger. 300W has none
outside; of a face that the border cuts in half, points are half a face outside."""


def parse_pts(text: str) -> Array:
    """The points (K, 2) of a .pts file's text in our pixels: the file's are 1-based, so 1 is subtracted.

    The header lines ("version:", "n_points:") and the braces may be missing; a stated n_points is held to.

    Raises ValueError for what is no number, not finite, or not as many as stated.
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
    """Points (K, 2) of our pixels as the content of a .pts file, 1-based."""
    lines = [f"{x:.4f} {y:.4f}" for x, y in np.asarray(points_px) + 1.0]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""]).encode("ascii")


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
