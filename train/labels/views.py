"""Random views of one face, and what several views of it say together.

A view is a square crop, turned, scaled, shifted, perhaps mirrored, perhaps lighter or darker. A teacher's points in it
are mapped back to the picture; the points of all the views are averaged robustly, and how far they lie from the average
is the spread.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.face.crop import Roi, warp
from tracker.face.geometry import Array, compose, invert, scale_of, transform_points

Image = NDArray[np.uint8]
FAR = 3.0  # views this many times as far from the median as the middle one are left out, point by point


@dataclass(frozen=True)
class Variation:
    """How far views vary, evenly within these limits; every second view is mirrored.

    Attributes:
        rotation_rad: either way.
        scale: from 1 / scale to scale, evenly in its logarithm.
        shift: either way in x and in y, over the side of the view.
        gamma: the exponent of the light, as scale.
    """

    rotation_rad: float = math.radians(20)
    scale: float = 1.15
    shift: float = 0.06
    gamma: float = 1.25


@dataclass(frozen=True, eq=False)
class View:
    """One view.

    Attributes:
        view_from_picture: (2, 3) a similarity, mirrored or not.
        mirrored: whether it is.
        gamma: the exponent of its light.
    """

    view_from_picture: Array
    mirrored: bool
    gamma: float

    def see(self, image_rgb: Image, size: int) -> Image:
        """Return the view (size, size, 3) of a picture, black outside of it.

        Args:
            image_rgb: (H, W, 3).
            size: side in pixels.
        """
        levels = np.rint(255 * (np.arange(256) / 255) ** self.gamma).astype(np.uint8)
        return levels[warp(image_rgb, self.view_from_picture, size)]

    def to_picture(self, points: Array, flip: NDArray[np.intp]) -> Array:
        """Return points of the view as points of the picture, in the order of the unmirrored face.

        Args:
            points: (K, 2 or 3) found in the view; a third coordinate is a depth in the same pixels.
            flip: (K,) the point that takes place k in a mirrored picture.
        """
        ordered = points[flip] if self.mirrored else points
        picture_from_view = invert(self.view_from_picture)
        depth = ordered[:, 2:] * scale_of(picture_from_view)
        return np.column_stack([transform_points(picture_from_view, ordered[:, :2]), depth])


def random_views(roi: Roi, size: int, count: int, rng: np.random.Generator, by: Variation) -> list[View]:
    """Return random views about a square.

    Args:
        roi: the square.
        size: side of the views in pixels.
        count: how many.
        rng: of the random numbers.
        by: how far they vary.
    """
    views = []
    for number in range(count):
        turn, zoom, right, down, light = rng.uniform(-1, 1, 5)
        center = np.array(roi.center_px) + by.shift * roi.side_px * np.array([right, down])
        side = roi.side_px * by.scale**zoom
        seen = Roi((float(center[0]), float(center[1])), side, roi.rotation_rad + by.rotation_rad * turn)
        mirrored = number % 2 == 1
        mirror = np.array([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0]]) if mirrored else np.eye(2, 3)
        views.append(View(compose(mirror, seen.crop_from_image(size)), mirrored, by.gamma**light))
    return views


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the random numbers of one picture, the same however many other pictures there are.

    Args:
        seed: of the run.
        name: of the picture.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def average(views: Array) -> tuple[Array, Array]:
    """Return the points that views agree on, and their spread.

    The average of a point leaves out the views that lie FAR times as far from the views' median as the middle one; its
    spread is the root of the mean squared distance of all the views from the average, with one degree of freedom less
    than there are views, in the picture (x and y).

    Args:
        views: (V, K, D); views of NaN are not counted.

    Returns:
        (K, D) and (K,); NaN for fewer than two views.
    """
    seen = views[np.isfinite(views).all((1, 2))]
    if len(seen) < 2:
        return np.full(views.shape[1:], np.nan), np.full(views.shape[1], np.nan)
    away = np.linalg.norm(seen - np.median(seen, 0), axis=2)
    kept = away <= FAR * np.median(away, 0) + 1e-9
    points = (seen * kept[..., None]).sum(0) / kept.sum(0)[:, None]
    squared = ((seen - points)[..., :2] ** 2).sum(2)
    return points, np.sqrt(squared.sum(0) / (len(seen) - 1))
