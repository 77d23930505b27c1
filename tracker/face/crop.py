"""The crop of a face: the network's input, made the same way in training, in evaluation and at run time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.face.geometry import Array, compose, invert, scale_of, similarity, transform_points
from tracker.face.schemes import Scheme

LARGEST_BLOCK = 4096  # pixels along a side; memory is allocated for whole blocks, and no picture has 20 such blocks
SIDES_PX = (1e-3, 1e9)  # limits of a Roi's side; beyond them its transform or the inverse is lost in rounding errors
VIEW = 1.25  # side of the Roi of a face, as a multiple of the larger extent of its landmarks


@dataclass(frozen=True)
class Roi:
    """A square region of a picture, around one face.

    Attributes:
        center_px: (x, y) of the centre in pixels; x right, y down, pixel centres at integers.
        side_px: length of a side, from pixel edge to pixel edge.
        rotation_rad: how far the face is turned clockwise on the screen, in radians; the crop shows it upright.

    Raises:
        ValueError: the side is outside SIDES_PX, the centre is farther from 0 than the largest side, or the rotation
            is not finite.
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
                f"a Roi needs a side of {least:g} to {most:g} pixels, a centre within {most:g} and a finite rotation, "
                f"got {self}"
            )

    def crop_from_image(self, size: int) -> Array:
        """Return the transform from pixels of the picture to pixels of the crop.

        Args:
            size: side of the crop in pixels.

        Returns:
            (2, 3) similarity that takes the edges of the Roi to the edges of the crop.
        """
        middle = (size - 1) / 2
        return similarity(size / self.side_px, -self.rotation_rad, self.center_px, (middle, middle))


def roi_of_landmarks(points_px: ArrayLike, rotation_rad: float = 0.0) -> Roi:
    """Return the Roi of a face: VIEW times the larger extent of its landmarks.

    The extent is measured along the rotated axes, so that a rolled face fills its crop as an upright one does. A Roi
    beyond the limits, as from the output of a damaged model, is limited to them.

    Args:
        points_px: (K, 2) landmarks in pixels of the picture.
        rotation_rad: how far the face is turned clockwise on the screen, in radians.

    Returns:
        The Roi, in the same pixels.

    Raises:
        ValueError: all landmarks lie in one place.
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
    """Measure how far the line through the outer eye corners is turned from the horizontal.

    Args:
        points_px: (K, 2) landmarks.
        scheme: of the landmarks.

    Returns:
        Radians, -pi to pi, positive clockwise on the screen.
    """
    across, down = (scheme.ocular_axis @ np.asarray(points_px, np.float64)).tolist()
    return math.atan2(down, across)


def crop(image: NDArray[np.uint8], roi: Roi, size: int) -> NDArray[np.uint8]:
    """Cut the Roi out of a picture.

    The sampling is bilinear. Where the Roi is shrunk by a factor of k or more, the picture is first averaged over
    blocks of k x k pixels, so that a large face does not alias.

    Args:
        image: (H, W, C) uint8, channels in any order.
        roi: what to cut out, in pixels of the picture.
        size: side of the crop in pixels.

    Returns:
        (size, size, C) uint8, with the channels as in the picture; black outside the picture.
    """
    return warp(image, roi.crop_from_image(size), size)


def warp(image: NDArray[np.uint8], crop_from_image: Array, size: int) -> NDArray[np.uint8]:
    """Cut a crop out of a picture, as crop does, by any similarity transform.

    engines/tensorrt/crop.cu does the same for frames on a GPU, with the help of the three functions below.

    Args:
        image: (H, W, C) uint8, channels in any order.
        crop_from_image: (2, 3) similarity transform; it may mirror.
        size: side of the crop in pixels.

    Returns:
        (size, size, C) uint8; black outside the picture.
    """
    factor = block_side(crop_from_image)
    if factor > 1:
        image, image_from_reduced = _reduce(image, crop_from_image, size, factor)
        crop_from_image = compose(crop_from_image, image_from_reduced)
    return cv2.warpAffine(image, crop_from_image, (size, size), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def block_side(crop_from_image: Array) -> int:
    """Return the side of the blocks that are averaged before the picture is sampled.

    Args:
        crop_from_image: (2, 3) similarity transform.

    Returns:
        Pixels; 1 if the region is shrunk by less than 2, so that nothing is averaged.
    """
    return max(1, int(round(1 / scale_of(crop_from_image), 6)))  # rounded, so that 5.9999999 counts as 6


def seen_px(
    crop_from_image: Array, size: int, factor: int, limit: tuple[int, int]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Find the part of a picture that a crop shows, with one block more on each side.

    Args:
        crop_from_image: (2, 3) similarity transform.
        size: side of the crop in pixels.
        factor: side of a block in pixels, see block_side.
        limit: (width, height) of the picture.

    Returns:
        low and high, (2,) each: the pixels low to high - 1, as (x, y). Where the crop lies outside the picture,
        high <= low in that direction.
    """
    edges = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5
    corners = transform_points(invert(crop_from_image), edges)
    low = np.clip(np.floor(corners.min(0)).astype(int) - factor, 0, limit)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + factor + 1, 0, limit)
    return low, high


def image_from_blocks(low: NDArray[np.int_], factor: int) -> Array:
    """Return the transform from indices of blocks to pixels of the picture.

    Args:
        low: (2,) x, y of the first pixel of the first block.
        factor: side of a block in pixels.

    Returns:
        (2, 3) transform from blocks, with their centres at integers, to the picture.
    """
    offset = low + (factor - 1) / 2
    return np.array([[factor, 0, offset[0]], [0, factor, offset[1]]], np.float64)


def _reduce(
    image: NDArray[np.uint8], crop_from_image: Array, size: int, factor: int
) -> tuple[NDArray[np.uint8], Array]:
    """Average the blocks of factor x factor pixels that the crop shows; return them and image_from_reduced."""
    low, high = seen_px(crop_from_image, size, factor, (image.shape[1], image.shape[0]))
    if (high <= low).any() or factor > LARGEST_BLOCK:  # the crop lies outside, or shows the picture as a point
        return image, np.eye(2, 3)
    part = image[low[1] : high[1], low[0] : high[0]]
    missing = -(high - low) % factor  # the last blocks may reach beyond the picture; the rest of them is black
    if missing.any():
        part = cv2.copyMakeBorder(part, 0, int(missing[1]), 0, int(missing[0]), cv2.BORDER_CONSTANT)  # type: ignore[assignment]
    blocks = (part.shape[1] // factor, part.shape[0] // factor)
    reduced = cv2.resize(part, blocks, interpolation=cv2.INTER_AREA)
    return reduced, image_from_blocks(low, factor)  # type: ignore[return-value]
