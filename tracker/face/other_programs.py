"""Points of other programs in ours: the tables for people who move here.

The table is other_programs.csv beside this file: iBUG's 68 points, and for each the number that it has elsewhere.
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
    """Say which number each of our 68 points has in another program.

    Args:
        program: "mediapipe": the nearest vertex of its mesh of 468 or 478 points. The jaw follows the visible contour
            here and not there. "openseeface": of its 66 points, as the program's own model places them: its points 58
            and 62 are the outer corners of the mouth, and it has no inner ones. "dlib": of the 68-point predictor,
            which has our order. OpenFace's columns x_0 ... y_67 have our order, too.

    Returns:
        (68,) numbers from 0; -1 where the program has no such point.

    Raises:
        ValueError: for another program.

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
    """The way back: points_px[order_of("openseeface")] are our points in OpenSeeFace's order, 66 of them.

    For programs that number all they share with us from 0 on without a gap: openseeface and dlib.

    Raises:
        ValueError: for MediaPipe, whose mesh has more points than are here.
    """
    numbers = point_numbers(program)
    order = np.argsort(numbers)[(numbers < 0).sum() :]
    if (numbers[order] != np.arange(len(order))).any():
        raise ValueError(f"order_of: {program} has points that are not here; use point_numbers")
    return order
