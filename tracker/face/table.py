"""Landmarks of many pictures in one CSV: the header picture,x0,y0,x1,y1,... and one face a row.

picture: relative to the table's folder; several rows may name one. Points: in our pixels, the first
pixel's centre at 0.
"""

from __future__ import annotations

from tracker.face.geometry import Array
from tracker.face.schemes import Scheme


def table_header(scheme: Scheme) -> list[str]:
    """The first row."""
    return ["picture", *(f"{axis}{i}" for i in range(scheme.count) for axis in "xy")]


def table_row(picture: str, points_px: Array) -> list[str]:
    """A face's row, to a hundredth of a pixel."""
    return [picture, *(f"{value:.2f}" for value in points_px.flat)]
