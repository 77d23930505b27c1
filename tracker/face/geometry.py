"""Points, boxes and similarity transforms.

Convention: pixel centres lie at integers, x to the right, y down, points as (x, y). A picture of width w covers -0.5 to
w - 0.5. Resizing by s maps p to (p + 0.5) * s - 0.5. Mirroring maps x to w - 1 - x, together with the scheme's flip
permutation. A transform is a (2, 3) matrix named a_from_b: it takes points given in b to points in a.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LARGEST_PX = 1e12
"""The largest coordinate allowed: far beyond any picture, and small enough that no product here overflows."""


def transform_points(a_from_b: Array, points_b: ArrayLike) -> Array:
    """Transform points.

    Args:
        a_from_b: (2, 3) transform.
        points_b: (..., 2) points in b.

    Returns:
        (..., 2) the points in a.
    """
    return np.asarray(points_b, np.float64) @ a_from_b[:, :2].T + a_from_b[:, 2]


def transform_covariances(a_from_b: Array, covariances: ArrayLike) -> Array:
    """Transform covariances of points; the translation has no effect on them.

    Args:
        a_from_b: (2, 3) transform.
        covariances: (..., 3) xx, xy, yy in b.

    Returns:
        (..., 3) xx, xy, yy in a.
    """
    (a, b, _), (c, d, _) = a_from_b.tolist()
    products = np.array([[a * a, 2 * a * b, b * b], [a * c, a * d + b * c, b * d], [c * c, 2 * c * d, d * d]])
    return np.asarray(np.asarray(covariances, np.float64) @ products.T)


def similarity(
    scale: float, rotation_rad: float, source: Sequence[float] | Array, target: Sequence[float] | Array
) -> Array:
    """Make a transform that scales and rotates about one point and moves that point to another one.

    Args:
        scale: factor of all lengths.
        rotation_rad: radians; positive turns x towards y, clockwise on the screen.
        source: (x, y) of the point.
        target: (x, y) where it goes.

    Returns:
        (2, 3) transform.
    """
    cos, sin = scale * math.cos(rotation_rad), scale * math.sin(rotation_rad)
    (x, y), (to_x, to_y) = source, target
    return np.array([[cos, -sin, to_x - cos * x + sin * y], [sin, cos, to_y - sin * x - cos * y]], np.float64)


def compose(a_from_b: Array, b_from_c: Array) -> Array:
    """Chain two transforms.

    Args:
        a_from_b: (2, 3) the transform that is applied last.
        b_from_c: (2, 3) the transform that is applied first.

    Returns:
        (2, 3) a_from_c.
    """
    linear = a_from_b[:, :2] @ b_from_c[:, :2]
    return np.column_stack([linear, transform_points(a_from_b, b_from_c[:, 2])])


def invert(a_from_b: Array) -> Array:
    """Invert a transform.

    Args:
        a_from_b: (2, 3) transform.

    Returns:
        (2, 3) b_from_a.

    Raises:
        numpy.linalg.LinAlgError: the transform is singular: it maps the plane to a line or a point.
    """
    (a, b, x), (c, d, y) = a_from_b.tolist()
    determinant = a * d - b * c
    if determinant == 0:
        raise np.linalg.LinAlgError("a transform that flattens the plane has no inverse")
    adjugate = np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]], np.float64)
    return np.asarray(adjugate / determinant)


def scale_of(a_from_b: Array) -> float:
    """Measure the scale of a transform.

    Args:
        a_from_b: (2, 3) transform.

    Returns:
        How many pixels of a one pixel of b is: the square root of the absolute determinant.
    """
    (a, b, _), (c, d, _) = a_from_b.tolist()
    return math.sqrt(abs(a * d - b * c))


def flip_points(points: ArrayLike, width: int, permutation: NDArray[np.intp]) -> Array:
    """Mirror landmarks together with their picture.

    Args:
        points: (K, 2) landmarks in pixels.
        width: of the picture, in pixels.
        permutation: (K,) Scheme.flip.

    Returns:
        (K, 2) the landmarks in the mirrored picture, in the scheme's order.
    """
    flipped = np.asarray(points, np.float64)[permutation].copy()
    flipped[:, 0] = width - 1 - flipped[:, 0]
    return flipped


def extent(points: ArrayLike) -> Array:
    """Return the smallest axis-aligned box around points.

    Args:
        points: (K, 2).

    Returns:
        (4,) x, y, width, height.
    """
    points = np.asarray(points, np.float64)
    low = points.min(0)
    return np.concatenate([low, points.max(0) - low])


def box_iou(a: ArrayLike, b: ArrayLike) -> float:
    """Measure how much two boxes overlap.

    Args:
        a: (4,) x, y, width, height.
        b: (4,) the other box.

    Returns:
        Intersection over union, 0 to 1; 0 if both are empty.
    """
    (left_a, top_a, width_a, height_a), (left_b, top_b, width_b, height_b) = (
        np.asarray(box, np.float64).tolist() for box in (a, b)
    )
    width = min(left_a + width_a, left_b + width_b) - max(left_a, left_b)
    height = min(top_a + height_a, top_b + height_b) - max(top_a, top_b)
    shared = max(width, 0.0) * max(height, 0.0)
    union = width_a * height_a + width_b * height_b - shared
    return shared / union if union > 0 else 0.0
