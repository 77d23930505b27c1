"""Reads a table of hand-labelled points: single points, and curves with evenly spaced points."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68
from tracker.system.files import read_text

MOST_BYTES = 100_000


def read_points(path: Path) -> dict[int, Array]:
    """Read the points (2,) of a table with the columns index, x, y and optionally note, by their index.

    Consecutive rows whose index is the same list, such as "36 37 38 39", are positions on a curve from the first point
    to the last; the points are evenly spaced along it. Raises TrackerError for another table.
    """
    try:
        lines = read_text(path, MOST_BYTES).splitlines()
    except OSError as error:
        raise TrackerError(f"{path}: expected a table of points, it cannot be read: {error.strerror}") from None
    if not lines or lines[0].split(",")[:3] != ["index", "x", "y"]:
        raise TrackerError(f"{path}: expected the header index,x,y,note, got {lines[:1]}")
    placed: dict[int, Array] = {}
    cells = [(number, line.split(",")) for number, line in enumerate(lines[1:], 2) if line.strip()]
    for key, group in groupby(cells, key=lambda row: row[1][0].strip()):
        rows = list(group)
        where = f"{path}, line {rows[0][0]}"
        try:
            indices = [int(i) for i in key.split()]
            places = np.array([[float(row[1]), float(row[2])] for _, row in rows])
        except (ValueError, IndexError):
            raise TrackerError(f"{where}: expected index,x,y in numbers, got {lines[rows[0][0] - 1]!r:.80}") from None
        if not np.isfinite(places).all() or not indices or not {*indices} <= {*range(IBUG68.count)}:
            raise TrackerError(f"{where}: expected finite numbers and an index from 0 to {IBUG68.count - 1}")
        for i, point in zip(indices, evenly(places, len(indices), where)):
            if np.abs(placed.setdefault(i, point) - point).max() > 0.01:
                raise TrackerError(f"{where}: point {i} was placed before, elsewhere; remove one of the two")
    return placed


def evenly(places: Array, count: int, where: str = "") -> Array:
    """Return points (count, 2) evenly along the smooth curve through positions (N, 2); N is 1 if count is 1."""
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    if (len(places) == 1) != (count == 1) or (steps == 0).any():
        raise TrackerError(f"{where}: expected one row for a point, or several different places for a curve")
    if count == 1:
        return places
    along = np.r_[0, steps.cumsum()]
    fine = CubicSpline(along, places, bc_type="natural")(np.linspace(0, along[-1], 1000))
    length = np.r_[0, np.linalg.norm(np.diff(fine, axis=0), axis=1).cumsum()]
    at = np.linspace(0, length[-1], count)
    return np.column_stack([np.interp(at, length, fine[:, axis]) for axis in (0, 1)])
