"""Target maps drawn from a face's landmarks: boundary curves as edge maps.

ADNet, STAR and Yang & Yeh learn them beside the landmarks. Convention: points are (x, y) in pixels of the crop, pixel
centres at integers. The maps have size // stride cells a side; the middle of cell j is at pixel (j + 0.5) * stride -
0.5, as in train.codecs.gaussian. A value of 1 is the most a map can hold.

STAR's maps are small pictures of large ones: everything is drawn on the crop's pixels, and each cell is read off by
bilinear interpolation at its middle, without averaging. At stride 4 it sees the inner 2 x 2 of its 4 x 4 pixels, so
lines have gaps.
"""

from __future__ import annotations

import warnings
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import splev, splprep

from tracker.face.geometry import Array
from tracker.face.schemes import Scheme

Maps = NDArray[np.float32]
EdgeProcedure = Literal["polyline", "star", "distance"]

SAMPLES = 5  # of a curve from one landmark to the next
FINE = 4  # lines are drawn on a canvas that many times finer than the crop
FRACTION_BITS = 4  # of the canvas's coordinates
REACH = 3.0  # cells beyond which an edge map by distance is 0


def curve_through(points_px: ArrayLike, closed: bool) -> Array:
    """Return points on the cubic spline through points, parametrised by chord length: SAMPLES from each to the next.

    If there is no spline (fewer than 4 points, or two in a row that coincide), the points themselves are returned, as
    in STAR's code.

    Args:
        points_px: (M, 2).
        closed: whether the curve returns to its first point.

    Returns:
        (SAMPLES * (M - 1) + 1, 2) of an open curve, which ends at its last point; (SAMPLES * M, 2) of a closed one,
        which is smooth across its start, and does not repeat it.
    """
    points = np.asarray(points_px, np.float64)
    knots = np.vstack([points, points[:1]]) if closed else points
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # a spline that FITPACK warns of is none
            spline, at_knots = splprep(knots.T, s=0, per=closed)
    except (ValueError, TypeError, RuntimeWarning):
        return points
    steps = np.arange((len(knots) - 1) * SAMPLES + (not closed)) / SAMPLES
    return np.column_stack(splev(np.interp(steps, np.arange(len(knots)), at_knots), spline))


def boundary_curves(points_px: ArrayLike, scheme: Scheme) -> list[Array]:
    """Return the curve_through of each of the scheme's curves.

    Args:
        points_px: (K, 2) landmarks.
        scheme: of the landmarks.
    """
    points = np.asarray(points_px, np.float64)
    return [curve_through(points[list(curve.indices)], curve.closed) for curve in scheme.curves]


def edge_maps(
    points_px: ArrayLike, scheme: Scheme, size: int, stride: int = 4, procedure: EdgeProcedure = "polyline"
) -> Maps:
    """Return one edge map for each of the scheme's curves.

    Args:
        points_px: (K, 2) landmarks in pixels of the crop.
        scheme: of the landmarks, with E curves.
        size: side of the crop in pixels.
        stride: pixels per cell.
        procedure: how they are drawn. polyline is STAR's procedure in our pixels: a line one pixel wide (1.4 as OpenCV
            draws it), antialiased on a canvas FINE times finer, averaged back to pixels and read off at the middles of
            cells. star is what STAR's code does: points are first moved into the crop, p is put at canvas pixel
            floor(FINE * p + 0.5), which is 0.375 pixels left of and above p, and nothing is antialiased, because on a
            canvas of floats OpenCV draws plain lines. distance is LAB's and Adaptive Wing's: exp(-d^2 / 2) for d < 3
            and 0 beyond, d being the distance in cells to the nearest cell of the curve. Here each curve has its own
            map and landmarks keep their fractions; Adaptive Wing's code rounds them down to cells and draws 13 open
            curves of its own into one map.

    Returns:
        (E, size // stride, size // stride) in [0, 1].
    """
    maps = np.zeros((len(scheme.curves), size // stride, size // stride), np.float32)
    for image, shape, curve in zip(maps, scheme.curves, boundary_curves(points_px, scheme)):
        if procedure == "distance":
            _draw_distance(image, curve, shape.closed, stride)
        else:
            _draw_line(image, curve, shape.closed, stride, as_star=procedure == "star")
    return maps


def _draw_line(image: Maps, curve: Array, closed: bool, stride: int, as_star: bool) -> None:
    """Only the cells around the curve are worked on; a cell depends on no pixel outside it."""
    side = len(image)
    if as_star:
        curve = np.clip(curve, 0, side * stride - 1)
    margin = 2  # pixels: more than a line is wide
    low = np.clip(np.floor((curve.min(0) - margin) / stride).astype(int), 0, side)
    high = np.clip(np.ceil((curve.max(0) + margin + 1) / stride).astype(int), 0, side)
    if (high <= low).any():
        return
    columns, rows = (high - low).tolist()
    canvas = np.zeros((rows * stride * FINE, columns * stride * FINE), np.uint8)
    local = curve - low * stride
    if as_star:
        cv2.polylines(canvas, [np.floor(local * FINE + 0.5).astype(np.int32)], closed, 255, FINE)
    else:
        fixed = np.rint(((local + 0.5) * FINE - 0.5) * 2**FRACTION_BITS).astype(np.int32)
        cv2.polylines(canvas, [fixed], closed, 255, FINE, cv2.LINE_AA, FRACTION_BITS)
    pixels = cv2.resize(canvas, (columns * stride, rows * stride), interpolation=cv2.INTER_AREA)
    cells = cv2.resize(pixels.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    image[low[1] : high[1], low[0] : high[0]] = cells / 255


def _draw_distance(image: Maps, curve: Array, closed: bool, stride: int) -> None:
    canvas = np.full(image.shape, 255, np.uint8)
    cv2.polylines(canvas, [np.rint((curve + 0.5) / stride - 0.5).astype(np.int32)], closed, 0)
    distance = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = distance < REACH  # without a curve in sight the distance is beyond what can be squared
    image[near] = np.exp(-np.square(distance[near]) / 2)
