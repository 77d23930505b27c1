"""Which of our 68 points correspond to which points of other programs.

The table is other_programs.csv beside this file: iBUG's 68 points, and for each its number in the other programs.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Program = Literal["mediapipe", "openseeface", "dlib"]

TABLE = Path(__file__).with_name("other_programs.csv")


@cache
def point_numbers(program: Program) -> NDArray[np.intp]:
    """Return the number that each of our 68 points has in another program.

    Args:
        program: "mediapipe": the nearest vertex of its mesh of 468 or 478 points. Our jaw points follow the visible
            contour, MediaPipe's do not. "openseeface": its 66 points, as its own model places them: points 58 and 62
            are the outer corners of the mouth, and there are no inner ones. "dlib": the 68-point predictor, which has
            the same order as here. OpenFace's columns x_0 to y_67 have the same order, too.

    Returns:
        (68,) numbers from 0; -1 if the program has no such point.

    Raises:
        ValueError: the program is not one of these.

    Example:
        >>> from tracker.face.other_programs import point_numbers
        >>> point_numbers("mediapipe")[36]  # outer corner of the right eye
        33
    """
    if program not in get_args(Program):
        raise ValueError(f"point_numbers: expected one of {', '.join(get_args(Program))}, got {program}")
    with TABLE.open(encoding="ascii", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        numbers = np.array([int(row[program] or -1) for row in rows], np.intp)
    numbers.setflags(write=False)
    return numbers


def order_of(program: Program) -> NDArray[np.intp]:
    """Return the order in which our points are those of another program: the inverse of point_numbers.

    Args:
        program: "openseeface" or "dlib", all of whose points are among ours.

    Returns:
        Indices of our points, one for each point of the program: points_px[order_of("openseeface")] are 66 points in
        OpenSeeFace's order.

    Raises:
        ValueError: for MediaPipe, whose mesh has points that are not among ours.
    """
    numbers = point_numbers(program)
    order = np.argsort(numbers)[(numbers < 0).sum() :]
    if (numbers[order] != np.arange(len(order))).any():
        raise ValueError(f"order_of: {program} has points that are not here; use point_numbers")
    return order
