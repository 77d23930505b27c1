"""Turned heads: a face is warped as if its head were turned further, as for 300W-LP (Zhu et al., CVPR 2016, section 4).

The landmarks have the depths of the mean head in the face's pose, and are turned with it. Between them and the border,
which stays, the picture follows a thin-plate spline. It is one-to-one: what a turn would uncover is stretched from what
is around it, and a turn that would fold the face over itself is halved, halved again, or left out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from tracker.analysis.head_pose import WORST_MM, HeadPose, camera_matrix, mean_head_mm, nearest_pose
from tracker.face.crop import Roi, warp
from tracker.face.geometry import Array, extent, transform_points

Image = NDArray[np.uint8]
AROUND = 2.0  # side of the picture that is warped, over the larger side of the landmarks' extent
SIDE = 2  # the same in pixels, over the side of the crop
FOCAL = 8.0  # focal length, over the side: nearly parallel light
PIVOT_MM = np.array([0.0, 30.0, 50.0])  # the point of the mean head that stays where it is
CELLS = 48  # along a side; the spline is evaluated at their corners
LEAST_AREA = 0.1  # of what a cell shows, over its own; where it is below 0 the picture is folded
LONGEST = 3.0  # a side of what a cell shows, over its own; where the picture is pressed more, cells are too coarse
_HALF_FOREHEAD = [(30, -60, -1), (55, -60, 20), (45, -90, 28), (72, -30, 29)]
FOREHEAD_MM = np.array(
    [(0, -70, -3), (0, -95, 18), *_HALF_FOREHEAD, *((-x, y, z) for x, y, z in _HALF_FOREHEAD)], np.float64
)
"""Points of the forehead and the temples of the mean head, tracker/analysis/head68_mm.csv, from the same mesh."""


def turn_head(image: Image, points_px: Array, yaw_rad: float, pitch_rad: float, size: int) -> tuple[Image, Array]:
    """Return a picture of a face with its head turned, and the landmarks in it.

    Args:
        image: (H, W, 3) RGB.
        points_px: (68, 2) of ibug68, in pixels of the picture.
        yaw_rad: about the head's vertical axis, positive to the left of an upright picture.
        pitch_rad: about the axis through its ears, positive downwards.
        size: side of the crop that will be made of it, in pixels.

    Returns:
        A square picture of the face and what is around it, and the landmarks (68, 2) in its pixels. If they do not
        look like a head, or if a quarter of the turn would fold the face, it is not turned.
    """
    side = SIDE * size
    x, y, width, height = extent(points_px)
    roi = Roi((x + width / 2, y + height / 2), AROUND * max(width, height))
    near_from_image = roi.crop_from_image(side)
    near, points = warp(image, near_from_image, side), transform_points(near_from_image, points_px)
    pose = nearest_pose(points, camera_matrix(side, side, FOCAL * side))
    if pose is None or pose.error_mm > WORST_MM:
        return near, points
    for share in (1.0, 0.5, 0.25):
        before, after = _moved(points, pose, share * np.array([pitch_rad, yaw_rad, 0.0]), side)
        try:
            sources = _spline(after, before, side)
        except np.linalg.LinAlgError:  # two points at the same place
            continue
        if _can_be_drawn(sources, side):
            x, y = np.moveaxis(_enlarged(sources, side), -1, 0)
            turned = np.asarray(cv2.remap(near, x, y, cv2.INTER_LINEAR), np.uint8)
            return turned, after[: len(points)]
    return near, points


def _moved(points_px: Array, pose: HeadPose, turn_rad: Array, side: int) -> tuple[Array, Array]:
    """The landmarks, the forehead and points of the border, (P, 2) before and after a turn in the head's own frame."""
    scale = FOCAL * side / pose.translation_mm[2]  # pixels per millimetre
    middle = (side - 1) / 2

    def seen(head_mm: Array) -> Array:
        place = scale * (head_mm @ pose.rotation.T + pose.translation_mm)
        return np.asarray(place + [middle, middle, 0])

    landmarks = np.column_stack([points_px, seen(mean_head_mm())[:, 2]])
    before = np.vstack([landmarks, seen(FOREHEAD_MM)])
    turn = pose.rotation @ cv2.Rodrigues(turn_rad)[0] @ pose.rotation.T
    pivot = seen(PIVOT_MM)
    after = pivot + (before - pivot) @ turn.T
    ends = np.linspace(0, side - 1, 5)
    border = np.array([(x, y) for x in ends for y in ends if {x, y} & {0, side - 1}])
    return np.vstack([before[:, :2], border]), np.vstack([after[:, :2], border])


def _spline(after: Array, before: Array, side: int) -> NDArray[np.float32]:
    """Return (CELLS + 1, CELLS + 1, 2): for each corner of a cell, its (x, y) in the picture before the turn."""
    corners = np.linspace(0, side - 1, CELLS + 1)
    grid = np.stack(np.meshgrid(corners, corners), -1)
    moved = RBFInterpolator(after, before - after, kernel="thin_plate_spline")(grid.reshape(-1, 2))
    return np.asarray(grid + moved.reshape(grid.shape), np.float32)


def _enlarged(sources: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The corners' values (side, side, 2) at all pixels, linearly between them."""
    places = np.linspace(0, CELLS, side)[:, None] - np.arange(CELLS + 1)
    weights = np.maximum(0, 1 - np.abs(places)).astype(np.float32)  # (side, CELLS + 1)
    return np.asarray(np.einsum("ij,jkc,lk->ilc", weights, sources, weights, optimize=True))


def _can_be_drawn(sources: NDArray[np.float32], side: int) -> bool:
    """Tell whether no cell is folded over another or shows a part of the picture with a side above LONGEST cells."""
    cells = sources * (CELLS / (side - 1))
    right, down = np.diff(cells, axis=1)[:-1], np.diff(cells, axis=0)[:, :-1]
    areas = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    lengths = np.linalg.norm([right, down], axis=-1)
    return bool(areas.min() >= LEAST_AREA and lengths.max() <= LONGEST)
