"""The one crop: what the network sees in training, in evaluation and at run time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.face.geometry import Array, compose, invert, scale_of, similarity, transform_points
from tracker.face.schemes import Scheme

LARGEST_BLOCK = 4096  # pixels along a side; a block is made room for as a whole, and no picture is as large as 20
SIDES_PX = (1e-3, 1e9)  # of a view; beyond, its transform, or the inverse, is no more than rounding errors
VIEW = 1.25  # side of the square view over the larger extent of the face's landmarks


@dataclass(frozen=True)
class Roi:
    """A square view of a picture.

    center_px: (x, y), pixel centres at integers. side_px: its side, from pixel edge to pixel edge.
    rotation_rad: how far the face is turned clockwise on the screen; the crop shows it upright.

    Raises ValueError for a side outside SIDES_PX, a center farther from 0 than the largest side, and a rotation that is
    not finite.
    """

    center_px: tuple[float, float]
    side_px: float
    rotation_rad: float = 0.0

    def __post_init__(self) -> None:
        (x, y), (least, most) = self.center_px, SIDES_PX
        if not (
            abs(x) <= most and abs(y) <= most and least <= self.side_px <= most and math.isfinite(self.rotation_rad)
        ):
            raise ValueError(
                f"a view needs a side of {least:g} to {most:g} pixels, a center within {most:g} and a finite rotation, "
                f"got {self}"
            )

    def crop_from_image(self, size: int) -> Array:
        """(2, 3) transform to the crop of size x size pixels; the view's edges meet the crop's edges."""
        middle = (size - 1) / 2
        return similarity(size / self.side_px, -self.rotation_rad, self.center_px, (middle, middle))


def roi_of_landmarks(points_px: ArrayLike, rotation_rad: float = 0.0) -> Roi:
    """The view of a face: VIEW times the larger extent of its landmarks (K, 2), turned by rotation_rad.

    The extent is taken along the turned axes, so that a rolled face fills its crop as an upright one does. A view
    beyond the limits of a Roi, as of what a damaged model answers, is brought within them. Raises ValueError for
    landmarks that all lie in one place.
    """
    cos, sin = math.cos(rotation_rad), math.sin(rotation_rad)
    upright = np.asarray(points_px, np.float64) @ np.array([[cos, -sin], [sin, cos]])
    (left, top), (right, bottom) = upright.min(0).tolist(), upright.max(0).tolist()
    x, y = (left + right) / 2, (top + bottom) / 2
    least, most = SIDES_PX
    side = VIEW * max(right - left, bottom - top)
    center = (min(max(cos * x - sin * y, -most), most), min(max(sin * x + cos * y, -most), most))
    return Roi(center, min(max(side, least), most) if side > 0 else 0.0, rotation_rad)


def eye_rotation_rad(points_px: ArrayLike, scheme: Scheme) -> float:
    """How far the line through the outer eye corners is turned clockwise from the horizontal."""
    across, down = (scheme.ocular_axis @ np.asarray(points_px, np.float64)).tolist()
    return math.atan2(down, across)


def crop(image: NDArray[np.uint8], roi: Roi, size: int) -> NDArray[np.uint8]:
    """The view as size x size pixels, black outside the picture; channels as they come.

    Bilinear, after the part of the picture under the view has been averaged over k x k blocks where the view
    is shrunk by k or more, so that a large face does not alias.
    """
    return warp(image, roi.crop_from_image(size), size)


def warp(image: NDArray[np.uint8], crop_from_image: Array, size: int) -> NDArray[np.uint8]:
    """As crop, for any (2, 3) similarity, mirrored ones included.

    engines/tensorrt/crop.cu does the same for frames on a GPU, from the same three functions below.
    """
    factor = block_side(crop_from_image)
    if factor > 1:
        image, image_from_reduced = _reduce(image, crop_from_image, size, factor)
        crop_from_image = compose(crop_from_image, image_from_reduced)
    return cv2.warpAffine(image, crop_from_image, (size, size), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def block_side(crop_from_image: Array) -> int:
    """The side in pixels of the blocks that are averaged before the picture is sampled; 1 where none are."""
    return max(1, int(round(1 / scale_of(crop_from_image), 6)))  # 6 is not 5.9999999


def seen_px(
    crop_from_image: Array, size: int, factor: int, limit: tuple[int, int]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The part low .. high - 1, each (x, y), of a picture of limit (width, height) that the crop sees.

    With a block more on each side; high <= low in a direction where the view lies outside.
    """
    edges = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5
    corners = transform_points(invert(crop_from_image), edges)
    low = np.clip(np.floor(corners.min(0)).astype(int) - factor, 0, limit)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + factor + 1, 0, limit)
    return low, high


def image_from_blocks(low: NDArray[np.int_], factor: int) -> Array:
    """(2, 3) from the middles of blocks, the first of which begins at the pixel low."""
    offset = low + (factor - 1) / 2
    return np.array([[factor, 0, offset[0]], [0, factor, offset[1]]], np.float64)


def _reduce(
    image: NDArray[np.uint8], crop_from_image: Array, size: int, factor: int
) -> tuple[NDArray[np.uint8], Array]:
    """The blocks of factor x factor pixels that the crop sees, averaged, and image_from_reduced."""
    low, high = seen_px(crop_from_image, size, factor, (image.shape[1], image.shape[0]))
    if (high <= low).any() or factor > LARGEST_BLOCK:  # the view lies outside, or a face is no more than a point in it
        return image, np.eye(2, 3)
    part = image[low[1] : high[1], low[0] : high[0]]
    missing = -(high - low) % factor  # the last blocks reach beyond the picture, where it is black
    if missing.any():
        part = cv2.copyMakeBorder(part, 0, int(missing[1]), 0, int(missing[0]), cv2.BORDER_CONSTANT)  # type: ignore[assignment]
    blocks = (part.shape[1] // factor, part.shape[0] // factor)
    reduced = cv2.resize(part, blocks, interpolation=cv2.INTER_AREA)
    return reduced, image_from_blocks(low, factor)  # type: ignore[return-value]
